// What ends a request, or the epoch, and what must not.

#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "tests/coordinator/step_loop_fixture.h"

namespace quatrain {
namespace {

using ::testing::HasSubstr;

using StepLoopFailureTest = StepLoopTest;

TEST_F(StepLoopFailureTest, RowThatIsNotFiniteFailsItsRequestOnly) {
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

TEST_F(StepLoopFailureTest, SilentGroupIsFoundByTheWatchdog) {
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

TEST_F(StepLoopFailureTest, NobodyIsBlamedForWhatHeldUpTheLoop) {
  Start();
  auto heard = std::make_shared<Heard>();
  auto listener = std::make_unique<RecordingListener>(heard);
  listener->on_token_ = [](int n) {
    if (n == 30) std::this_thread::sleep_for(std::chrono::milliseconds(800));
  };
  ASSERT_TRUE(loop_->Submit(Request("a", 4, 60), std::move(listener)).ok());

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_TRUE(heard->end()) << heard->status();
}

TEST_F(StepLoopFailureTest, LoopThatFailedSleepsUntilItIsEnded) {
  prepare_ = [](FakeGroup* group) {
    group->drops_a_row_ = true;
    group->ends_the_loop_ = false;
  };
  Start();
  const auto heard = Submit(Request("a", 4, 100));
  while (!group_->failed_)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(400));

  const double busy = double(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(busy, 0.1);
}

TEST_F(StepLoopFailureTest, RankThatDivergesIsNamed) {
  prepare_ = [](FakeGroup* group) { group->other_.CorruptDigests(); };
  Start();
  const auto heard = Submit(Request("a", 4, 100));

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_THAT(std::string(heard->status().message()),
              HasSubstr("rank 1 diverged"));
}

TEST_F(StepLoopFailureTest, MissingRowEndsTheEpoch) {
  prepare_ = [](FakeGroup* group) { group->drops_a_row_ = true; };
  Start();
  const auto heard = Submit(Request("a", 4, 100));

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_THAT(std::string(heard->status().message()),
              HasSubstr("step 1: row 0 ends, expected a drawn row of chunk 0"));
}

}  // namespace
}  // namespace quatrain
