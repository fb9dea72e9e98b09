#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace quatrain {

// Threads that stay. The caller is thread 0 and works too, so a pool of one has
// no thread of its own. Work is cut statically, so that a thread meets the same
// weights every time. One caller at a time.
class ThreadPool {
 public:
  // threads: >= 1. spin: threads poll for a short while before they sleep;
  // only where every thread of every rank has a core of its own, else those
  // that poll starve those that work.
  ThreadPool(int threads, bool spin);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(thread) once for every thread in [0, threads()), returns when
  // all are done. What a thread wrote before is seen by all afterwards.
  void Run(const std::function<void(int)>& body);

  // The part of [0, count) that belongs to `thread`.
  std::pair<int64_t, int64_t> Share(int64_t count, int thread) const {
    const int64_t n = threads();
    return {count * thread / n, count * (thread + 1) / n};
  }

  // Calls body(begin, end, thread) for every thread's share, if not empty.
  void ParallelFor(int64_t count,
                   const std::function<void(int64_t, int64_t, int)>& body);

 private:
  void Work(int thread);
  // Returns the first value of `word` that is not `old`.
  uint32_t WaitChange(const std::atomic<uint32_t>& word, uint32_t old) const;

  const bool spin_;
  const std::function<void(int)>* body_ = nullptr;  // published by round_
  std::atomic<uint32_t> round_{0};
  std::atomic<uint32_t> unfinished_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace quatrain
