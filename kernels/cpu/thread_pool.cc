#include "kernels/cpu/thread_pool.h"

#include "base/check.h"
#include "base/pause_core.h"

namespace quatrain {
namespace {

// About 50 us of polling: longer than the gaps inside a step, shorter than the
// gaps between steps.
constexpr int kSpins = 1000;

}  // namespace

ThreadPool::ThreadPool(int threads, bool spin) : spin_(spin) {
  CHECK_GE(threads, 1);
  for (int t = 1; t < threads; ++t)
    workers_.emplace_back([this, t] { Work(t); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  round_.fetch_add(1);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(const std::function<void(int)>& body) {
  if (workers_.empty()) return body(0);
  body_ = &body;
  unfinished_.store(static_cast<uint32_t>(workers_.size()));
  round_.fetch_add(1);
  round_.notify_all();
  body(0);
  for (uint32_t left = unfinished_.load(); left != 0;)
    left = WaitChange(unfinished_, left);
}

void ThreadPool::ParallelFor(
    int64_t count, const std::function<void(int64_t, int64_t, int)>& body) {
  if (count <= 0) return;
  if (count == 1 || workers_.empty()) return body(0, count, 0);
  Run([&](int thread) {
    const auto [begin, end] = Share(count, thread);
    if (begin < end) body(begin, end, thread);
  });
}

void ThreadPool::Work(int thread) {
  for (uint32_t round = 0;;) {
    round = WaitChange(round_, round);
    if (stop_.load()) return;
    (*body_)(thread);
    if (unfinished_.fetch_sub(1) == 1) unfinished_.notify_one();
  }
}

uint32_t ThreadPool::WaitChange(const std::atomic<uint32_t>& word,
                                uint32_t old) const {
  for (int i = 0; spin_ && i < kSpins; ++i) {
    const uint32_t value = word.load();
    if (value != old) return value;
    PauseCore();
  }
  word.wait(old);
  return word.load();
}

}  // namespace quatrain
