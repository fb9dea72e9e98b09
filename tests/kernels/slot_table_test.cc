#include "kernels/slot_table.h"

#include "gtest/gtest.h"

namespace quatrain {
namespace {

template <typename T>
std::vector<T> List(const T* data, int n) {
  return {data, data + n};
}
using Ints = std::vector<int32_t>;

// A prompt of `ids` in slot 0, from `start`, with blocks of two tokens.
ChunkDelta Prefill(int slot, Ints ids, int start, Ints blocks) {
  return {.slot = slot,
          .new_tenant = start == 0,
          .token_ids = std::move(ids),
          .start = start,
          .new_blocks = std::move(blocks)};
}

TEST(SlotTableTest, LaysTwoSequencesOutFlat) {
  SlotTable slots(4, 3, 2);
  Step step;
  step.chunks = {Prefill(2, {10, 11, 12}, 0, {7, 5}), Prefill(0, {20}, 0, {1})};
  const StepView view = slots.Apply(step);
  EXPECT_EQ(view.num_tokens, 4);
  EXPECT_EQ(view.num_sequences, 2);
  EXPECT_EQ(view.block_stride, 3);
  EXPECT_EQ(List(view.token_ids, 4), (Ints{10, 11, 12, 20}));
  EXPECT_EQ(List(view.positions, 4), (Ints{0, 1, 2, 0}));
  EXPECT_EQ(List(view.slot_mapping, 4), (std::vector<int64_t>{14, 15, 10, 2}));
  EXPECT_EQ(List(view.cu_seqlens, 3), (Ints{0, 3, 4}));
  EXPECT_EQ(List(view.context_lens, 2), (Ints{3, 1}));
  EXPECT_EQ(List(view.block_tables, 6), (Ints{7, 5, -1, 1, -1, -1}));
  EXPECT_TRUE(view.logits_rows.empty());
  EXPECT_EQ(slots.length(2), 3);
  EXPECT_EQ(slots.num_blocks(2), 2);
}

TEST(SlotTableTest, ContinueTakesTheLastSampleAtTheOwnLength) {
  SlotTable slots(1, 4, 2);
  Step prefill;
  prefill.chunks = {Prefill(0, {10, 11}, 0, {3})};
  prefill.chunks[0].draw = true;
  prefill.chunks[0].sampling = SamplingSetup{.seed = 77, .top_logprobs = 2};
  ASSERT_EQ(slots.Apply(prefill).logits_rows.size(), 1u);

  Step next;
  next.sampled = {{0, 99}};
  next.chunks = {{.slot = 0, .new_blocks = {6}, .draw = true}};
  const StepView view = slots.Apply(next);
  EXPECT_EQ(List(view.token_ids, 1), (Ints{99}));
  EXPECT_EQ(List(view.positions, 1), (Ints{2}));
  EXPECT_EQ(List(view.slot_mapping, 1), (std::vector<int64_t>{12}));
  EXPECT_EQ(view.context_lens[0], 3);
  const LogitsRow& row = view.logits_rows[0];
  EXPECT_TRUE(row.draw);
  EXPECT_TRUE(row.logprobs);  // implied by top_logprobs
  EXPECT_EQ(row.position, 2);
  EXPECT_EQ(row.sampling.seed, 77u);
}

TEST(SlotTableTest, ChunksOfAPromptFollowEachOther) {
  SlotTable slots(1, 4, 2);
  Step first, second;
  first.chunks = {Prefill(0, {10, 11, 12}, 0, {3, 1})};
  second.chunks = {Prefill(0, {13, 14}, 3, {2})};
  slots.Apply(first);
  const StepView view = slots.Apply(second);
  EXPECT_EQ(List(view.positions, 2), (Ints{3, 4}));
  EXPECT_EQ(List(view.slot_mapping, 2), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(view.context_lens[0], 5);
}

TEST(SlotTableTest, PromptLogprobsScoreEveryTokenButTheFirst) {
  SlotTable slots(1, 4, 2);
  Step step;
  step.chunks = {Prefill(0, {10, 11, 12}, 0, {3, 1})};
  step.chunks[0].logits_wanted = LogitsWanted::kAll;
  step.chunks[0].next_prompt_token = 13;
  step.chunks[0].prompt_top_logprobs = 4;
  const StepView chunk = slots.Apply(step);
  ASSERT_EQ(chunk.logits_rows.size(), 3u);
  EXPECT_EQ(chunk.logits_rows[0].target, 11);
  EXPECT_EQ(chunk.logits_rows[2].target, 13);
  EXPECT_EQ(chunk.logits_rows[2].top_logprobs, 4);
  EXPECT_FALSE(chunk.logits_rows[2].draw);

  Step last;
  last.chunks = {Prefill(0, {13, 14}, 3, {2})};
  last.chunks[0].logits_wanted = LogitsWanted::kAll;
  last.chunks[0].draw = true;
  const StepView end = slots.Apply(last);
  ASSERT_EQ(end.logits_rows.size(), 2u);
  EXPECT_EQ(end.logits_rows[0].target, 14);
  EXPECT_TRUE(end.logits_rows[1].draw);
  EXPECT_EQ(end.logits_rows[1].token_index, 1);
}

TEST(SlotTableTest, ReleasedAndReusedSlotsForget) {
  SlotTable slots(2, 4, 2);
  Step step;
  step.chunks = {Prefill(0, {10, 11, 12}, 0, {3, 1}), Prefill(1, {10}, 0, {2})};
  slots.Apply(step);
  Step next;
  next.released_slots = {0};
  next.chunks = {Prefill(1, {30, 31}, 0, {0})};
  const StepView view = slots.Apply(next);
  EXPECT_EQ(slots.length(0), 0);
  EXPECT_EQ(slots.num_blocks(0), 0);
  EXPECT_EQ(slots.num_blocks(1), 1);
  EXPECT_EQ(List(view.slot_mapping, 2), (std::vector<int64_t>{0, 1}));
}

TEST(SlotTableDeathTest, MoreTokensThanBlocksIsABug) {
  SlotTable slots(1, 4, 2);
  Step step;
  step.chunks = {Prefill(0, {10, 11, 12}, 0, {3})};
  EXPECT_DEATH(slots.Apply(step), "position 2");
}

}  // namespace
}  // namespace quatrain
