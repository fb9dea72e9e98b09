#include "coordinator/scheduler.h"

#include <deque>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/slot_mirror.h"

namespace quatrain {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int32_t kEos = 100'000;

GenerationRequest Prompt(int num_tokens, int max_tokens = 100,
                         uint64_t sequence_id = 1) {
  GenerationRequest request;
  for (int i = 0; i < num_tokens; ++i)
    request.prompt_token_ids.push_back(SlotMirror::TokenAt(sequence_id, i));
  request.max_tokens = max_tokens;
  request.eos_token_ids = {kEos};
  return request;
}

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

// Runs a scheduler against a mirror of a rank with random submissions, cancels
// and results, many plans ahead.
class RandomRun {
 public:
  RandomRun(uint32_t seed, int num_micro_batches, int plans_in_flight)
      : random_(seed),
        plans_in_flight_(plans_in_flight),
        num_blocks_(Between(4, 40)),
        options_({.max_num_seqs = Between(1, 12),
                  .max_num_batched_tokens = Between(1, 40),
                  .max_chunk_tokens = Between(0, 1) * Between(1, 9),
                  .max_model_len = Between(8, 90),
                  .num_micro_batches = num_micro_batches}),
        blocks_(num_blocks_, kBlockSize),
        scheduler_(options_, &blocks_),
        mirror_({.num_slots = options_.max_num_seqs,
                 .num_blocks = num_blocks_,
                 .block_size = kBlockSize,
                 .num_micro_batches = num_micro_batches,
                 .max_num_batched_tokens = options_.max_num_batched_tokens,
                 .max_sequence_tokens = scheduler_.max_sequence_tokens()}) {}

  void Run(int num_operations) {
    for (int i = 0; i < num_operations && !testing::Test::HasFailure(); ++i) {
      const int what = Between(0, 99);
      if (what < 12) Submit();
      if (what >= 12 && what < 15) Cancel();
      if (what >= 15 && what < 60) Plan();
      if (what >= 60) CommitOldest();
    }
    while (!testing::Test::HasFailure() && (Plan() || CommitOldest())) {
    }
    EXPECT_EQ(scheduler_.num_sequences(), 0);
    EXPECT_EQ(blocks_.num_used_blocks(), 0);
  }

  uint64_t num_preemptions() const { return scheduler_.num_preemptions(); }

 private:
  static constexpr int kBlockSize = 4;

  struct Expected {
    GenerationRequest request;
    int num_output = 0;
    int num_dropped = 0;
    bool ended = false;
    bool cancelled = false;
  };

  int Between(int low, int high) {
    return low + static_cast<int>(random_() % (high - low + 1));
  }

  void Submit() {
    if (scheduler_.num_sequences() >= 30) return;
    const uint64_t id = expected_.size() + 1;
    GenerationRequest request = Prompt(
        Between(1, scheduler_.max_sequence_tokens()), Between(1, 30), id);
    if (!scheduler_.CheckFits(request.prompt_token_ids.size()).ok()) return;
    request.priority = Between(0, 9) == 0 ? Between(-1, 1) : 0;
    if (Between(0, 3) == 0) request.prompt_logprobs = 0;
    expected_.push_back({.request = request});
    ASSERT_EQ(scheduler_.Add(std::move(request)), id);
  }

  void Cancel() {
    if (expected_.empty()) return;
    const uint64_t id = Between(1, expected_.size());
    EXPECT_EQ(scheduler_.Remove(id), !expected_[id - 1].ended);
    expected_[id - 1].cancelled |= !expected_[id - 1].ended;
    expected_[id - 1].ended = true;
  }

  bool Plan() {
    if (static_cast<int>(in_flight_.size()) >= plans_in_flight_) return false;
    std::optional<StepPlan> plan = scheduler_.Plan();
    if (!plan) {
      // With nothing in flight only an empty scheduler has nothing to plan.
      EXPECT_TRUE(!in_flight_.empty() || scheduler_.num_sequences() == 0);
      return false;
    }
    mirror_.Apply(*plan);
    in_flight_.push_back(*std::move(plan));
    return true;
  }

  bool CommitOldest() {
    if (in_flight_.empty()) return false;
    for (const PlannedChunk& chunk : in_flight_.front().chunks)
      if (chunk.draw) Commit(chunk.sequence_id);
    in_flight_.pop_front();
    return true;
  }

  void Commit(uint64_t id) {
    Expected& expected = expected_[id - 1];
    const GenerationRequest& request = expected.request;
    const int position =
        static_cast<int>(request.prompt_token_ids.size()) + expected.num_output;
    const bool eos = Between(0, 15) == 0;
    const auto committed =
        scheduler_.Commit(id, eos ? kEos : SlotMirror::TokenAt(id, position));
    ASSERT_EQ(committed.has_value(), !expected.ended);
    if (!committed) {
      // An end found by a commit has its own row out of flight.
      EXPECT_LE(++expected.num_dropped,
                expected.cancelled ? plans_in_flight_ : plans_in_flight_ - 1);
      return;
    }
    EXPECT_EQ(committed->num_output_tokens, ++expected.num_output);
    EXPECT_LE(expected.num_output, request.max_tokens);
    EXPECT_EQ(committed->reason.has_value(),
              eos || expected.num_output == request.max_tokens ||
                  position + 1 == scheduler_.max_sequence_tokens());
    expected.ended = committed->reason.has_value();
    if (request.prompt_logprobs) {
      EXPECT_EQ(mirror_.num_scored(id),
                static_cast<int>(request.prompt_token_ids.size()) - 1);
    }
  }

  std::mt19937 random_;
  const int plans_in_flight_;
  const int num_blocks_;
  const Scheduler::Options options_;
  BlockManager blocks_;
  Scheduler scheduler_;
  SlotMirror mirror_;
  std::deque<StepPlan> in_flight_;
  std::vector<Expected> expected_;  // by sequence id - 1
};

TEST(SchedulerTest, RandomOperationsKeepEveryInvariant) {
  uint64_t num_preemptions = 0;
  for (int seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const int num_micro_batches = 1 + seed % 4;
    const int plans_in_flight = 1 + seed % 7;
    RandomRun run(seed, num_micro_batches, plans_in_flight);
    run.Run(/*num_operations=*/1'000);
    num_preemptions += run.num_preemptions();
    if (HasFailure()) return;
  }
  EXPECT_GT(num_preemptions, 100u);
}

}  // namespace
}  // namespace quatrain
