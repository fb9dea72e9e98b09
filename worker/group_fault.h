#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "base/mutex.h"

namespace quatrain {

// The first fault of a rank's communicators, shared by all of them: whoever
// meets it raises it, and everybody who waits is woken. Thread-safe.
class GroupFault {
 public:
  // The first call decides the status and runs the hooks; later ones do
  // nothing. Not from within a hook. `peer_rank` is the rank that it is about,
  // if it is about one.
  void Raise(absl::Status status, int peer_rank = kNoRank);
  static constexpr int kNoRank = -1;

  bool raised() const { return raised_.load(std::memory_order_acquire); }
  absl::Status status() const;
  int peer_rank() const;

  // `wake` runs when the fault is raised, at once if it already is. It wakes
  // waiters and returns soon. RemoveHook waits until it is not running.
  int AddHook(std::function<void()> wake);
  void RemoveHook(int id);

 private:
  std::atomic<bool> raised_{false};

  mutable Mutex status_mutex_;
  absl::Status status_ ABSL_GUARDED_BY(status_mutex_);
  int peer_rank_ ABSL_GUARDED_BY(status_mutex_) = kNoRank;

  Mutex hooks_mutex_;  // held while hooks run
  std::map<int, std::function<void()>> hooks_ ABSL_GUARDED_BY(hooks_mutex_);
  int next_hook_ ABSL_GUARDED_BY(hooks_mutex_) = 0;
};

// Holds a hook for as long as it lives. The fault is shared by everything that
// a rank talks through, in no particular order of destruction.
class FaultHook {
 public:
  FaultHook(std::shared_ptr<GroupFault> fault, std::function<void()> wake)
      : fault_(std::move(fault)), id_(fault_->AddHook(std::move(wake))) {}
  ~FaultHook() { fault_->RemoveHook(id_); }
  FaultHook(const FaultHook&) = delete;
  FaultHook& operator=(const FaultHook&) = delete;

 private:
  const std::shared_ptr<GroupFault> fault_;
  const int id_;
};

}  // namespace quatrain
