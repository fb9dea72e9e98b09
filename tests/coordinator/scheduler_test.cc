#include "coordinator/scheduler.h"

#include <optional>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/scheduler_prompt.h"

namespace quatrain {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int> TokenCounts(const std::optional<StepPlan>& plan) {
  std::vector<int> counts;
  if (!plan) return counts;
  for (const PlannedChunk& chunk : plan->chunks)
    counts.push_back(chunk.num_tokens());
  return counts;
}

// Commits every draw of a plan with the same token.
void CommitAll(Scheduler* scheduler, const std::optional<StepPlan>& plan,
               int32_t token_id = 7) {
  for (const PlannedChunk& chunk : plan->chunks)
    if (chunk.draw) scheduler->Commit(chunk.sequence_id, token_id);
}

TEST(SchedulerTest, LongPromptIsPrefilledInChunks) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({.max_num_batched_tokens = 100}, &blocks);
  scheduler.Add(Prompt(250));

  EXPECT_THAT(TokenCounts(scheduler.Plan()), ElementsAre(100));
  EXPECT_THAT(TokenCounts(scheduler.Plan()), ElementsAre(100));
  const auto last = scheduler.Plan();
  EXPECT_THAT(TokenCounts(last), ElementsAre(50));
  EXPECT_TRUE(last->chunks[0].draw);
}

TEST(SchedulerTest, DecodesRunBesideALongPrompt) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({.max_num_batched_tokens = 100}, &blocks);
  scheduler.Add(Prompt(10));
  CommitAll(&scheduler, scheduler.Plan());
  scheduler.Add(Prompt(250));

  EXPECT_THAT(TokenCounts(scheduler.Plan()), ElementsAre(1, 99));
  EXPECT_THAT(TokenCounts(scheduler.Plan()), ElementsAre(1, 99));
}

TEST(SchedulerTest, PlansAheadOfResults) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({}, &blocks);
  scheduler.Add(Prompt(10));

  const auto first = scheduler.Plan();
  const auto second = scheduler.Plan();

  ASSERT_TRUE(second->chunks[0].is_continue());
  EXPECT_EQ(second->chunks[0].sampled_by, first->step_id);
}

TEST(SchedulerTest, MaxTokensIsNeverOvershot) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({}, &blocks);
  const uint64_t id = scheduler.Add(Prompt(10, /*max_tokens=*/2));

  scheduler.Plan();
  scheduler.Plan();
  EXPECT_FALSE(scheduler.Plan());

  EXPECT_FALSE(scheduler.Commit(id, 7)->reason);
  EXPECT_EQ(scheduler.Commit(id, 7)->reason, FinishReason::kLength);
  EXPECT_EQ(blocks.num_used_blocks(), 0);
  EXPECT_EQ(scheduler.num_sequences(), 0);
}

TEST(SchedulerTest, ContextIsNeverOvershot) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({.max_model_len = 12}, &blocks);
  const uint64_t id = scheduler.Add(Prompt(10));

  scheduler.Plan();
  scheduler.Plan();
  EXPECT_FALSE(scheduler.Plan());

  scheduler.Commit(id, 7);
  EXPECT_EQ(scheduler.Commit(id, 7)->reason, FinishReason::kContextLength);
}

TEST(SchedulerTest, BlocksOfAKnownEndServeTheNextPlan) {
  BlockManager blocks(/*num_blocks=*/2, /*block_size=*/16);
  Scheduler scheduler({.max_num_seqs = 2}, &blocks);
  scheduler.Add(Prompt(20, /*max_tokens=*/1));
  scheduler.Add(Prompt(20, /*max_tokens=*/1));

  const auto first = scheduler.Plan();
  const auto second = scheduler.Plan();  // before any commit

  EXPECT_THAT(TokenCounts(first), ElementsAre(20));
  EXPECT_THAT(TokenCounts(second), ElementsAre(20));
  EXPECT_THAT(second->released_slots, ElementsAre(first->chunks[0].slot));
}

TEST(SchedulerTest, RowsPlannedAfterTheEndAreDropped) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({}, &blocks);
  const uint64_t id = scheduler.Add(Prompt(10));
  scheduler.Plan();
  scheduler.Plan();

  EXPECT_EQ(scheduler.Commit(id, kEos)->reason, FinishReason::kEos);
  EXPECT_FALSE(scheduler.Commit(id, 7));
  EXPECT_EQ(blocks.num_used_blocks(), 0);
}

TEST(SchedulerTest, YoungestSequenceIsPreemptedWhenBlocksRunOut) {
  BlockManager blocks(/*num_blocks=*/6, /*block_size=*/16);
  Scheduler scheduler({}, &blocks);
  const uint64_t older = scheduler.Add(Prompt(46, 100, 1));
  const uint64_t younger = scheduler.Add(Prompt(46, 100, 2));
  // Both fill their three blocks, and then both need a fourth.
  for (int i = 0; i < 3; ++i) CommitAll(&scheduler, scheduler.Plan());

  const auto plan = scheduler.Plan();
  EXPECT_THAT(TokenCounts(plan), ElementsAre(1));
  EXPECT_EQ(plan->chunks[0].sequence_id, older);
  EXPECT_THAT(plan->released_slots, ElementsAre(1));
  EXPECT_EQ(scheduler.num_preemptions(), 1u);

  // It comes back with its output once there is room.
  scheduler.Remove(older);
  const auto replay = scheduler.Plan();
  EXPECT_THAT(TokenCounts(replay), ElementsAre(49));
  EXPECT_EQ(replay->chunks[0].sequence_id, younger);
  EXPECT_TRUE(replay->chunks[0].sampling);
}

TEST(SchedulerTest, PreemptedSequenceStillCommitsWhatIsInFlight) {
  BlockManager blocks(/*num_blocks=*/6, /*block_size=*/16);
  Scheduler scheduler({}, &blocks);
  const uint64_t older = scheduler.Add(Prompt(46, 100, 1));
  const uint64_t younger = scheduler.Add(Prompt(46, 100, 2));
  for (int i = 0; i < 4; ++i) scheduler.Plan();  // nothing committed
  EXPECT_EQ(scheduler.num_preemptions(), 1u);
  scheduler.Remove(older);

  EXPECT_FALSE(scheduler.Plan());  // three rows are still to come
  for (int i = 1; i <= 3; ++i)
    EXPECT_EQ(scheduler.Commit(younger, i)->num_output_tokens, i);

  EXPECT_THAT(TokenCounts(scheduler.Plan()), ElementsAre(49));
}

TEST(SchedulerTest, HigherPriorityIsAdmittedFirst) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({.max_num_seqs = 1}, &blocks);
  scheduler.Add(Prompt(10));
  GenerationRequest urgent = Prompt(10);
  urgent.priority = 1;
  const uint64_t id = scheduler.Add(std::move(urgent));

  EXPECT_EQ(scheduler.Plan()->chunks[0].sequence_id, id);
}

TEST(SchedulerTest, SlotOfAnEndedSequenceIsReusedWithANewGeneration) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({.max_num_seqs = 1}, &blocks);
  scheduler.Add(Prompt(10, /*max_tokens=*/1));
  scheduler.Add(Prompt(10, /*max_tokens=*/1));
  scheduler.Plan();

  // Nothing else can run, so the release goes out alone.
  const auto release = scheduler.Plan();
  EXPECT_THAT(release->chunks, IsEmpty());
  EXPECT_THAT(release->released_slots, ElementsAre(0));
  const auto next = scheduler.Plan();
  EXPECT_EQ(next->chunks[0].generation, 2u);
  EXPECT_FALSE(scheduler.Plan());
}

TEST(SchedulerTest, DecodingSequencesAreBalancedOverMicroBatches) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({.num_micro_batches = 2}, &blocks);
  for (int i = 0; i < 8; ++i) scheduler.Add(Prompt(4));
  scheduler.Plan();

  const auto second = scheduler.Plan();
  const auto third = scheduler.Plan();

  EXPECT_EQ(second->chunks.size(), 4u);
  EXPECT_EQ(third->chunks.size(), 4u);
  EXPECT_NE(second->micro_batch, third->micro_batch);
}

TEST(SchedulerTest, PromptLogprobsAreWantedOncePerToken) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({.max_num_batched_tokens = 8}, &blocks);
  GenerationRequest request = Prompt(17);
  request.prompt_logprobs = 3;
  const std::vector<int32_t> ids = request.prompt_token_ids;
  scheduler.Add(std::move(request));

  const auto first = scheduler.Plan()->chunks[0];
  EXPECT_EQ(first.num_scored, 8);
  EXPECT_EQ(first.next_prompt_token, ids[8]);
  EXPECT_EQ(first.prompt_top_logprobs, 3);
  EXPECT_EQ(scheduler.Plan()->chunks[0].num_scored, 8);
  const auto last = scheduler.Plan()->chunks[0];
  EXPECT_EQ(last.num_scored, 0);
  EXPECT_TRUE(last.draw);
}

TEST(SchedulerTest, RefusesWhatCanNeverFit) {
  BlockManager blocks(/*num_blocks=*/2, /*block_size=*/16);
  Scheduler scheduler({}, &blocks);

  EXPECT_TRUE(scheduler.CheckFits(31).ok());
  EXPECT_EQ(scheduler.CheckFits(32).message(),
            "prompt: 32 tokens, expected at most 31: the KV cache holds 2 "
            "blocks of 16 tokens");
}

TEST(SchedulerTest, LoneSequenceMayFillThePool) {
  BlockManager blocks(/*num_blocks=*/2, /*block_size=*/16);
  Scheduler scheduler({}, &blocks);
  const uint64_t id = scheduler.Add(Prompt(31));

  CommitAll(&scheduler, scheduler.Plan());

  EXPECT_EQ(scheduler.Find(id), nullptr);
  EXPECT_EQ(scheduler.num_preemptions(), 0u);
}

TEST(SchedulerTest, FindsExpiredOnesThatWereNeverPlanned) {
  BlockManager blocks(/*num_blocks=*/64, /*block_size=*/16);
  Scheduler scheduler({.max_num_seqs = 1}, &blocks);
  GenerationRequest request = Prompt(10);
  request.deadline = absl::FromUnixSeconds(100);
  scheduler.Add(request);
  const uint64_t waiting = scheduler.Add(request);
  scheduler.Plan();

  EXPECT_THAT(scheduler.Expired(absl::FromUnixSeconds(99)), IsEmpty());
  EXPECT_THAT(scheduler.Expired(absl::FromUnixSeconds(101)),
              ElementsAre(waiting));
}

}  // namespace
}  // namespace quatrain
