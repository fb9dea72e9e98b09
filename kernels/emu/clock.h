#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

// Who has heard of whom: happens-before, for the check build.
namespace simt::emu {

// Entry t: the latest clock of thread t that its holders have heard of. Threads
// that left the same barrier share one.
using ClockVector = std::vector<uint32_t>;

// A thread's. What it does at `now` is known to those who heard of `now`.
struct LaneClock {
  uint32_t now = 1;
  std::shared_ptr<const ClockVector> heard;  // null: of nobody
  uint32_t proxy_fenced = 0;                 // at its latest fence.proxy.async
  // As they were at its latest __threadfence; 0: none yet.
  uint32_t fenced = 0;
  std::shared_ptr<const ClockVector> fence_heard;

  bool HasHeard(int thread, uint32_t clock) const {
    return heard != nullptr && (*heard)[thread] >= clock;
  }
};

// What those who came to a barrier, or released a word, know together.
struct MergedClock {
  std::shared_ptr<ClockVector> heard;
};

// The same of blocks, by linear number; sparse, because few ever speak.
struct BlockClock {
  uint32_t now = 1;
  uint32_t fenced = 0;
  std::map<int64_t, uint32_t> heard;

  bool HasHeard(int64_t block, uint32_t clock) const {
    const auto it = heard.find(block);
    return it != heard.end() && it->second >= clock;
  }
};

}  // namespace simt::emu
