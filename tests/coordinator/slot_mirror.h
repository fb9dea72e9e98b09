#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "coordinator/step_plan.h"
#include "gtest/gtest.h"

namespace quatrain {

// What a rank knows of slots and blocks, from the plans alone, and everything
// that must be true of a stream of plans. Failed expectations say what was not.
class SlotMirror {
 public:
  struct Options {
    int num_slots = 0;
    int num_blocks = 0;
    int block_size = 0;
    int num_micro_batches = 1;
    int max_num_batched_tokens = 0;
    int max_sequence_tokens = 0;
  };

  explicit SlotMirror(Options options)
      : options_(options), owner_of_block_(options.num_blocks, -1) {}

  // The token that stands at a position of a sequence, prompt or sample: the
  // plans must prefill exactly these.
  static int32_t TokenAt(uint64_t sequence_id, int position) {
    return static_cast<int32_t>((sequence_id * 7919 + position * 104729) %
                                30'000);
  }

  void Apply(const StepPlan& plan) {
    EXPECT_EQ(plan.step_id, ++last_step_);
    EXPECT_GE(plan.micro_batch, 0);
    EXPECT_LT(plan.micro_batch, options_.num_micro_batches);
    EXPECT_LE(plan.num_tokens(), options_.max_num_batched_tokens);
    EXPECT_TRUE(!plan.chunks.empty() || !plan.released_slots.empty());
    for (const int slot : plan.released_slots) Release(slot);
    std::set<int> seen(plan.released_slots.begin(), plan.released_slots.end());
    for (const PlannedChunk& chunk : plan.chunks) {
      EXPECT_TRUE(seen.insert(chunk.slot).second) << "slot " << chunk.slot;
      Apply(plan, chunk);
    }
    EXPECT_LE(static_cast<int>(slots_.size()), options_.num_slots);
  }

  // Successors of a prompt that were scored so far, from its first token.
  int num_scored(uint64_t sequence_id) { return num_scored_[sequence_id]; }

 private:
  struct Slot {
    uint64_t sequence_id = 0;
    uint32_t generation = 0;
    std::vector<int32_t> blocks;
    int length = 0;
    uint64_t last_draw = 0;
    int micro_batch = -1;  // of its continues
  };

  void Release(int slot) {
    ASSERT_TRUE(slots_.contains(slot)) << "slot " << slot;
    for (const int32_t block : slots_[slot].blocks) owner_of_block_[block] = -1;
    slots_.erase(slot);
  }

  void Apply(const StepPlan& plan, const PlannedChunk& chunk) {
    ASSERT_GE(chunk.slot, 0);
    ASSERT_LT(chunk.slot, options_.num_slots);
    if (!slots_.contains(chunk.slot)) Open(chunk);
    Slot& slot = slots_[chunk.slot];
    EXPECT_EQ(slot.sequence_id, chunk.sequence_id);
    EXPECT_EQ(slot.generation, chunk.generation);
    for (const int32_t block : chunk.new_blocks) Own(chunk.slot, block);

    chunk.is_continue() ? Continue(plan, chunk, &slot) : Prefill(chunk, &slot);
    EXPECT_LE(slot.length,
              static_cast<int>(slot.blocks.size()) * options_.block_size);
    EXPECT_LE(slot.length, options_.max_sequence_tokens - 1);
    if (!chunk.draw) return;
    slot.last_draw = plan.step_id;
    EXPECT_TRUE(drawn_.insert({chunk.sequence_id, slot.length}).second)
        << "sequence " << chunk.sequence_id << " position " << slot.length;
  }

  void Open(const PlannedChunk& chunk) {
    EXPECT_EQ(chunk.generation, ++generations_[chunk.slot]);
    EXPECT_TRUE(chunk.sampling.has_value());
    EXPECT_EQ(chunk.start, 0);
    EXPECT_FALSE(chunk.is_continue());
    slots_[chunk.slot] = {.sequence_id = chunk.sequence_id,
                          .generation = chunk.generation};
  }

  void Own(int slot, int32_t block) {
    ASSERT_GE(block, 0);
    ASSERT_LT(block, options_.num_blocks);
    EXPECT_EQ(owner_of_block_[block], -1) << "block " << block;
    owner_of_block_[block] = slot;
    slots_[slot].blocks.push_back(block);
  }

  void Continue(const StepPlan& plan, const PlannedChunk& chunk, Slot* slot) {
    EXPECT_TRUE(chunk.draw);
    EXPECT_EQ(chunk.num_scored, 0);
    EXPECT_EQ(chunk.sampled_by, slot->last_draw);
    EXPECT_LT(chunk.sampled_by, plan.step_id);
    if (slot->micro_batch < 0) slot->micro_batch = plan.micro_batch;
    EXPECT_EQ(slot->micro_batch, plan.micro_batch);
    ++slot->length;
  }

  void Prefill(const PlannedChunk& chunk, Slot* slot) {
    EXPECT_EQ(slot->last_draw, 0u) << "prefill after a draw";
    EXPECT_EQ(chunk.start, slot->length);
    for (const int32_t id : chunk.token_ids)
      EXPECT_EQ(id, TokenAt(chunk.sequence_id, slot->length++));
    if (chunk.num_scored == 0) return;
    EXPECT_EQ(chunk.start, num_scored_[chunk.sequence_id]);
    EXPECT_EQ(chunk.num_scored == chunk.num_tokens(),
              chunk.next_prompt_token >= 0);
    EXPECT_GE(chunk.num_scored, chunk.num_tokens() - 1);
    if (chunk.next_prompt_token >= 0) {
      EXPECT_EQ(chunk.next_prompt_token,
                TokenAt(chunk.sequence_id, slot->length));
    }
    num_scored_[chunk.sequence_id] += chunk.num_scored;
  }

  const Options options_;
  uint64_t last_step_ = 0;
  std::map<int, Slot> slots_;
  std::map<int, uint32_t> generations_;
  std::vector<int> owner_of_block_;  // slot, or -1
  std::set<std::pair<uint64_t, int>> drawn_;
  std::map<uint64_t, int> num_scored_;
};

}  // namespace quatrain
