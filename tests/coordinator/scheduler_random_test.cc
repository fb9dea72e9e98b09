// Random operations on a scheduler, many plans ahead, while every invariant of
// the stream of plans is checked.

#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "coordinator/scheduler.h"
#include "gtest/gtest.h"
#include "tests/coordinator/scheduler_prompt.h"
#include "tests/coordinator/slot_mirror.h"

namespace quatrain {
namespace {

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

TEST(SchedulerRandomTest, KeepsEveryInvariant) {
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
