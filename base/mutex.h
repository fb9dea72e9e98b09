#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

// Clang checks these annotations with -Wthread-safety; g++ ignores them.
#if defined(__clang__)
#define QUATRAIN_TSA(x) __attribute__((x))
#else
#define QUATRAIN_TSA(x)
#endif
#define CAPABILITY(x) QUATRAIN_TSA(capability(x))
#define SCOPED_CAPABILITY QUATRAIN_TSA(scoped_lockable)
#define GUARDED_BY(x) QUATRAIN_TSA(guarded_by(x))
#define REQUIRES(...) QUATRAIN_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) QUATRAIN_TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) QUATRAIN_TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...) QUATRAIN_TSA(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS QUATRAIN_TSA(no_thread_safety_analysis)

namespace quatrain {

// std::mutex with annotations: ThreadSanitizer knows it, unlike the
// distribution's absl::Mutex, which is not instrumented.
class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ACQUIRE(mutex) : mutex_(mutex) {
    mutex_->lock();
  }
  ~MutexLock() RELEASE() { mutex_->unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* mutex_;
};

// Waits release and retake the mutex that the caller holds.
class CondVar {
 public:
  void Wait(Mutex* mutex) REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    condition_.wait(*mutex);
  }
  // False if `timeout` passed without a signal.
  bool WaitFor(Mutex* mutex, std::chrono::nanoseconds timeout)
      REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    return condition_.wait_for(*mutex, timeout) == std::cv_status::no_timeout;
  }
  void Signal() { condition_.notify_one(); }
  void SignalAll() { condition_.notify_all(); }

 private:
  std::condition_variable_any condition_;
};

}  // namespace quatrain
