#include <algorithm>
#include <unordered_map>

#include "kernels/emu/checks.h"
#include "kernels/emu/machine.h"

// Order by atomics: who fences before one releases, who comes after acquires.
// Within a block for its threads, between blocks for blocks as a whole.
namespace simt::emu {
namespace {

struct WordClock {
  std::map<int64_t, uint32_t> blocks;
  uint32_t run = 0;  // the block of `lanes`
  MergedClock lanes;
};

std::unordered_map<const void*, WordClock>& Words() {
  static auto& words = *new std::unordered_map<const void*, WordClock>;
  return words;
}

void RaiseTo(uint32_t& clock, uint32_t value) {
  clock = std::max(clock, value);
}

void Release(Lane& me, WordClock& word) {
  Cta& cta = *me.cta;
  for (const auto& [block, clock] : cta.clock.heard)
    RaiseTo(word.blocks[block], clock);
  RaiseTo(word.blocks[cta.index], cta.clock.fenced);
  // A thread of another block may read what this vector is merged into.
  auto lanes = word.run == cta.run && word.lanes.heard
                   ? std::make_shared<ClockVector>(*word.lanes.heard)
                   : std::make_shared<ClockVector>(cta.num_threads);
  if (me.clock.fence_heard)
    for (size_t i = 0; i < lanes->size(); ++i)
      RaiseTo((*lanes)[i], (*me.clock.fence_heard)[i]);
  RaiseTo((*lanes)[me.linear()], me.clock.fenced);
  word.run = cta.run;
  word.lanes.heard = std::move(lanes);
}

void Acquire(Lane& me, const WordClock& word) {
  Cta& cta = *me.cta;
  for (const auto& [block, clock] : word.blocks)
    RaiseTo(cta.clock.heard[block], clock);
  if (word.run != cta.run || !word.lanes.heard) return;
  auto heard = std::make_shared<ClockVector>(*word.lanes.heard);
  if (me.clock.heard)
    for (size_t i = 0; i < heard->size(); ++i)
      RaiseTo((*heard)[i], (*me.clock.heard)[i]);
  me.clock.heard = std::move(heard);
}

void FenceNow(Lane& me) {
  me.clock.fence_heard = me.clock.heard;
  me.clock.fenced = me.clock.now++;
}

void FenceBlock(Cta& cta) { cta.clock.fenced = cta.clock.now++; }

}  // namespace

void Fence(bool whole_device) {
  if (!checking) return;
  Lane& me = *CurrentLane();
  FenceNow(me);
  if (whole_device) FenceBlock(*me.cta);
}

void SyncWord(Lane& me, const void* word, Sync sync) {
  if (!checking) return;
  if (sync == Sync::kRelease) Fence(true);
  if (sync != Sync::kRelease)
    if (const auto it = Words().find(word); it != Words().end())
      Acquire(me, it->second);
  const bool says_something = me.clock.fenced != 0 || me.cta->clock.fenced != 0;
  if (sync != Sync::kAcquire && says_something) Release(me, Words()[word]);
}

void ForgetSyncWords() { Words().clear(); }

}  // namespace simt::emu
