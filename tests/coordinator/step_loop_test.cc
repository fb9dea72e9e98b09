#include "coordinator/step_loop.h"

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "tests/coordinator/step_loop_fixture.h"

namespace quatrain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

TEST_F(StepLoopTest, CancelOfAnEndedRequestSparesItsSuccessor) {
  Start();
  const auto successor = std::make_shared<Heard>();
  auto first = std::make_unique<RecordingListener>(std::make_shared<Heard>());
  // Too late for the first one: its last token is being committed.
  first->on_token_ = [this](int n) {
    if (n == 3) loop_->Cancel("a");
  };
  first->on_finished_ = [&] {
    const absl::Status status = loop_->Submit(
        Request("a", 4, 5), std::make_unique<RecordingListener>(successor));
    EXPECT_TRUE(status.ok()) << status;
  };
  ASSERT_TRUE(loop_->Submit(Request("a", 4, 3), std::move(first)).ok());

  ASSERT_TRUE(successor->WaitUntilDone());
  EXPECT_TRUE(successor->end()) << successor->status();
  EXPECT_EQ(successor->ids().size(), 5u);
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
