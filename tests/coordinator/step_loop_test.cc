#include "coordinator/step_loop.h"

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/fake_rank.h"
#include "tests/coordinator/recording_listener.h"

namespace quatrain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One stage of two ranks on a thread: executes plans in order, each for
// `step_time`, and answers as the sampling rank; the other rank echoes digests.
class FakeGroup final : public StepGroup {
 public:
  explicit FakeGroup(StepLoop* loop) : loop_(loop) {
    thread_ = std::jthread([this] { Run(); });
  }
  ~FakeGroup() override { plans_.Close(); }

  void SendPlan(const std::string& plan_bytes) override {
    plans_.Push(plan_bytes);
  }
  void OnStepFailed(const StepFailure& failure) override {
    loop_->Fail(absl::UnavailableError(absl::StrCat(
        "rank ", failure.rank, ": ", std::string(failure.status.message()))));
  }

  FakeRank sampler_{/*rank=*/0, /*first_stage=*/true, /*samples=*/true};
  FakeRank other_{/*rank=*/1, /*first_stage=*/true, /*samples=*/false};
  std::chrono::microseconds step_time_{200};
  uint64_t silent_from_step_ = 0;  // answers nothing from this step on
  bool drops_a_row_ = false;

 private:
  void Run() {
    while (auto plan = plans_.Pop()) {
      std::this_thread::sleep_for(step_time_);
      auto result = sampler_.Execute(*plan);
      const auto echo = other_.Execute(*plan);
      if (silent_from_step_ != 0 && result.step_id() >= silent_from_step_)
        continue;
      if (drops_a_row_) result.mutable_rows()->RemoveLast();
      loop_->OnOutcome(*DecodeOutcome(echo.SerializeAsString()));
      loop_->OnOutcome(*DecodeOutcome(result.SerializeAsString()));
    }
  }

  StepLoop* const loop_;
  BoundedQueue<std::string> plans_{1000};
  std::jthread thread_;
};

class StepLoopTest : public testing::Test {
 protected:
  StepLoopTest() {
    options_.scheduler = {
        .max_num_seqs = 8, .max_num_batched_tokens = 16, .max_model_len = 200};
    options_.block_size = 4;
    options_.clock.min_timeout = absl::Milliseconds(300);
    options_.clock.first_timeout = absl::Seconds(2);
  }
  ~StepLoopTest() override {
    if (loop_) loop_->Drain(absl::ZeroDuration());
  }

  void Start(int num_blocks = 100) {
    loop_ = std::make_unique<StepLoop>(options_);
    group_ = std::make_unique<FakeGroup>(loop_.get());
    if (prepare_) prepare_(group_.get());
    ASSERT_TRUE(loop_
                    ->Start({.epoch = 5,
                             .num_blocks = num_blocks,
                             .stage_of_rank = {0, 0},
                             .sampling_rank = 0},
                            group_.get())
                    .ok());
  }

  GenerationRequest Request(std::string id, int prompt_size, int max_tokens) {
    GenerationRequest request;
    request.request_id = std::move(id);
    for (int i = 0; i < prompt_size; ++i)
      request.prompt_token_ids.push_back(100 + i);
    request.max_tokens = max_tokens;
    return request;
  }

  std::shared_ptr<Heard> Submit(GenerationRequest request, int stop_at = 0) {
    auto heard = std::make_shared<Heard>();
    const absl::Status status =
        loop_->Submit(std::move(request),
                      std::make_unique<RecordingListener>(heard, stop_at));
    EXPECT_TRUE(status.ok()) << status;
    return heard;
  }

  absl::Status TrySubmit(GenerationRequest request) {
    return loop_->Submit(
        std::move(request),
        std::make_unique<RecordingListener>(std::make_shared<Heard>()));
  }

  void WaitUntilAllIsFree() {
    for (int i = 0; i < 1000 && loop_->stats().num_used_blocks > 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(loop_->stats().num_used_blocks, 0);
  }

  StepLoop::Options options_;
  std::function<void(FakeGroup*)> prepare_;
  std::unique_ptr<StepLoop> loop_;
  std::unique_ptr<FakeGroup> group_;
};

TEST_F(StepLoopTest, GeneratesUntilMaxTokens) {
  Start();
  const auto heard = Submit(Request("a", /*prompt_size=*/40, 5));

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_THAT(heard->ids(), ElementsAre(140, 141, 142, 143, 144));
  EXPECT_EQ(heard->end()->reason, FinishReason::kLength);
  EXPECT_EQ(heard->end()->completion_tokens, 5);
  WaitUntilAllIsFree();
}

TEST_F(StepLoopTest, EndsAtEosAndDropsRowsInFlight) {
  Start();
  GenerationRequest request = Request("a", 4, 50);
  request.eos_token_ids = {106};
  const auto heard = Submit(std::move(request));

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_THAT(heard->ids(), ElementsAre(104, 105, 106));
  EXPECT_EQ(heard->end()->reason, FinishReason::kEos);
  EXPECT_EQ(heard->end()->matched_token_id, 106);
  for (int i = 0; i < 1000 && loop_->stats().num_plans_in_flight > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(loop_->stats().num_dropped_rows, 1u);
}

TEST_F(StepLoopTest, ListenerEndsASequenceWithAStopString) {
  Start();
  const auto heard = Submit(Request("a", 4, 50), /*stop_at=*/3);

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_EQ(heard->ids().size(), 3u);
  EXPECT_EQ(heard->end()->reason, FinishReason::kStopText);
  WaitUntilAllIsFree();
}

TEST_F(StepLoopTest, PromptTokensAreScoredInOrderAndOnce) {
  Start();
  GenerationRequest request = Request("a", 40, 3);
  request.prompt_logprobs = 0;
  const std::vector<int32_t> prompt = request.prompt_token_ids;
  const auto heard = Submit(std::move(request));

  ASSERT_TRUE(heard->WaitUntilDone());
  std::vector<int32_t> ids;
  for (const GeneratedToken& token : heard->prompt()) {
    EXPECT_EQ(token.logprob.has_value(), !ids.empty());
    ids.push_back(token.token_id);
  }
  EXPECT_EQ(ids, prompt);
}

TEST_F(StepLoopTest, PromptOfOneTokenIsToldToo) {
  Start();
  GenerationRequest request = Request("a", 1, 1);
  request.prompt_logprobs = 2;
  const auto heard = Submit(std::move(request));

  ASSERT_TRUE(heard->WaitUntilDone());
  ASSERT_EQ(heard->prompt().size(), 1u);
  EXPECT_FALSE(heard->prompt()[0].logprob);
}

TEST_F(StepLoopTest, ManyRequestsThroughASmallPoolAllComeOutWhole) {
  options_.scheduler.num_micro_batches = 2;
  Start(/*num_blocks=*/20);
  std::vector<std::shared_ptr<Heard>> all;
  for (int i = 0; i < 40; ++i)
    all.push_back(Submit(Request(std::to_string(i), 1 + i % 17, 1 + i)));

  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(all[i]->WaitUntilDone());
    ASSERT_TRUE(all[i]->end()) << all[i]->status();
    std::vector<int32_t> expected;
    for (int t = 0; t < 1 + i; ++t) expected.push_back(101 + i % 17 + t);
    EXPECT_EQ(all[i]->ids(), expected);
  }
  EXPECT_GT(loop_->stats().num_preemptions, 0u);
  WaitUntilAllIsFree();
}

TEST_F(StepLoopTest, CancelFreesEverything) {
  Start();
  const auto heard = Submit(Request("a", 40, 150));
  loop_->Cancel("a");

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_EQ(heard->status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(loop_->stats().num_used_blocks, 0);
  loop_->Cancel("a");  // and again, to no effect
}

TEST_F(StepLoopTest, RefusesWhatItCannotTake) {
  options_.max_queue = 2;
  prepare_ = [](FakeGroup* group) {
    group->step_time_ = std::chrono::milliseconds(20);
  };
  loop_ = std::make_unique<StepLoop>(options_);
  EXPECT_EQ(TrySubmit(Request("early", 4, 4)).message(),
            "not ready: waiting for workers");
  Start();

  Submit(Request("a", 4, 100));
  EXPECT_EQ(TrySubmit(Request("a", 4, 100)).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(TrySubmit(Request("long", 200, 1)).message(),
            "prompt: 200 tokens, expected at most 199 (max_model_len - 1)");
  absl::Status status;
  for (int i = 0; i < 50 && status.ok(); ++i)
    status = TrySubmit(Request(absl::StrCat("b", i), 150, 10));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--max-queue"));
}

TEST_F(StepLoopTest, QueuedWorkIsDroppedAtItsDeadline) {
  options_.scheduler.max_num_seqs = 1;
  prepare_ = [](FakeGroup* group) {
    group->step_time_ = std::chrono::milliseconds(5);
  };
  Start();
  const auto running = Submit(Request("a", 4, 150));
  GenerationRequest late = Request("b", 4, 4);
  late.deadline = absl::Now() + absl::Milliseconds(50);
  const auto heard = Submit(std::move(late));

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_EQ(heard->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(running->done());
}

TEST_F(StepLoopTest, RowThatIsNotFiniteFailsItsRequestOnly) {
  prepare_ = [](FakeGroup* group) { group->sampler_.set_not_finite_at(20); };
  Start();
  const auto bad = Submit(Request("bad", 15, 50));
  const auto good = Submit(Request("good", 5, 10));

  ASSERT_TRUE(bad->WaitUntilDone());
  EXPECT_EQ(bad->status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(bad->ids().size(), 5u);
  ASSERT_TRUE(good->WaitUntilDone());
  EXPECT_TRUE(good->end());
}

TEST_F(StepLoopTest, SilentGroupIsFoundByTheWatchdog) {
  prepare_ = [](FakeGroup* group) { group->silent_from_step_ = 20; };
  Start();
  const auto heard = Submit(Request("a", 4, 100));

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_EQ(heard->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(heard->status().message()),
              HasSubstr("no result of step 20 after 300ms"));
  EXPECT_EQ(loop_->state().phase, EnginePhase::kFailed);
  EXPECT_EQ(TrySubmit(Request("b", 4, 4)).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(StepLoopTest, RankThatDivergesIsNamed) {
  prepare_ = [](FakeGroup* group) { group->other_.CorruptDigests(); };
  Start();
  const auto heard = Submit(Request("a", 4, 100));

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_THAT(std::string(heard->status().message()),
              HasSubstr("rank 1 diverged"));
}

TEST_F(StepLoopTest, MissingRowEndsTheEpoch) {
  prepare_ = [](FakeGroup* group) { group->drops_a_row_ = true; };
  Start();
  const auto heard = Submit(Request("a", 4, 100));

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_THAT(std::string(heard->status().message()),
              HasSubstr("step 1: row 0 ends, expected a drawn row of chunk 0"));
}

TEST_F(StepLoopTest, PlansGoOutBeforeResultsComeBack) {
  options_.record_plans = testing::TempDir() + "/step_loop_test.plans";
  options_.inject_result_delay = absl::Milliseconds(2);
  Start();
  ASSERT_TRUE(Submit(Request("a", 4, 50))->WaitUntilDone());
  loop_->Drain(absl::ZeroDuration());
  loop_.reset();  // closes the file

  const auto records = ReadPlanRecords(options_.record_plans);
  ASSERT_TRUE(records.ok()) << records.status();
  std::map<uint64_t, absl::Duration> sent, arrived;
  for (const PlanRecord& record : *records)
    (record.kind == PlanRecord::kPlanSent ? sent : arrived)[record.step_id] =
        record.time;
  ASSERT_GE(arrived.size(), 50u);
  for (uint64_t step = 1; step < 50; ++step)
    EXPECT_LT(sent[step + 1], arrived[step]) << "step " << step;
  std::remove(options_.record_plans.c_str());
}

TEST_F(StepLoopTest, DrainFinishesWhatRuns) {
  Start();
  const auto heard = Submit(Request("a", 4, 50));
  loop_->Drain(absl::Seconds(10));

  EXPECT_TRUE(heard->end());
  EXPECT_EQ(loop_->state().phase, EnginePhase::kDraining);
}

TEST_F(StepLoopTest, DrainEndsWhatTakesLongerThanTheGrace) {
  prepare_ = [](FakeGroup* group) {
    group->step_time_ = std::chrono::milliseconds(20);
  };
  Start();
  const auto heard = Submit(Request("a", 4, 150));
  loop_->Drain(absl::Milliseconds(100));

  EXPECT_EQ(heard->status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace quatrain
