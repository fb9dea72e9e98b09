#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <utility>

#include "base/mutex.h"

namespace quatrain {

// Hands values from producers to consumers, first in, first out, holding at
// most `capacity`. Closing wakes everybody; what was pushed before is still
// delivered. Thread-safe.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // Waits for room. False, and drops `value`, if the queue is closed.
  bool Push(T value) {
    MutexLock lock(&mutex_);
    while (!closed_ && items_.size() >= capacity_) not_full_.Wait(&mutex_);
    return PushLocked(std::move(value));
  }

  // False, and leaves `value` alone, if there is no room or it is closed.
  bool TryPush(T& value) {
    MutexLock lock(&mutex_);
    if (items_.size() >= capacity_) return false;
    return PushLocked(std::move(value));
  }

  // Waits for a value. Empty once the queue is closed and drained.
  std::optional<T> Pop() {
    MutexLock lock(&mutex_);
    while (!closed_ && items_.empty()) not_empty_.Wait(&mutex_);
    return PopLocked();
  }

  // As Pop, but also empty when `timeout` passes.
  std::optional<T> PopFor(std::chrono::nanoseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(&mutex_);
    while (!closed_ && items_.empty()) {
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left.count() <= 0) break;
      not_empty_.WaitFor(&mutex_, left);
    }
    return PopLocked();
  }

  std::optional<T> TryPop() {
    MutexLock lock(&mutex_);
    return PopLocked();
  }

  void Close() {
    MutexLock lock(&mutex_);
    closed_ = true;
    not_empty_.SignalAll();
    not_full_.SignalAll();
  }

  bool closed() {
    MutexLock lock(&mutex_);
    return closed_;
  }

 private:
  bool PushLocked(T&& value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (closed_) return false;
    items_.push_back(std::move(value));
    not_empty_.Signal();
    return true;
  }
  std::optional<T> PopLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (items_.empty()) return std::nullopt;
    std::optional<T> value = std::move(items_.front());
    items_.pop_front();
    not_full_.Signal();
    return value;
  }

  const size_t capacity_;
  Mutex mutex_;
  CondVar not_empty_, not_full_;
  std::deque<T> items_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quatrain
