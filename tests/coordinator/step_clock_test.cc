#include "coordinator/step_clock.h"

#include "gtest/gtest.h"

namespace quatrain {
namespace {

const SteadyTime kStart = SteadyTime() + absl::Seconds(100);

// Steps of one token and that time, one after the other.
void RunSteps(StepClock* clock, int num_steps, absl::Duration step_time,
              SteadyTime start) {
  for (int i = 0; i < num_steps; ++i) {
    clock->Sent(1, start);
    start = start + step_time;
    clock->Committed(start);
  }
}

TEST(StepClockTest, NothingIsOverdueWhenNothingIsInFlight) {
  EXPECT_EQ(StepClock({}).deadline(), SteadyTime::InfiniteFuture());
}

TEST(StepClockTest, FirstStepsHaveMoreTime) {
  StepClock clock({});
  clock.Sent(1, kStart);
  EXPECT_EQ(clock.deadline(), kStart + absl::Seconds(120));
}

TEST(StepClockTest, StepMayTakeTwentyTimesTheMedian) {
  StepClock clock({});
  RunSteps(&clock, 10, absl::Seconds(1), kStart);
  EXPECT_EQ(clock.median_step_time(), absl::Seconds(1));

  clock.Sent(1, kStart + absl::Seconds(50));
  EXPECT_EQ(clock.deadline(), kStart + absl::Seconds(70));
}

TEST(StepClockTest, NoStepHasLessThanTheMinimum) {
  StepClock clock({});
  RunSteps(&clock, 10, absl::Milliseconds(1), kStart);
  clock.Sent(1, kStart + absl::Seconds(50));
  EXPECT_EQ(clock.deadline(), kStart + absl::Seconds(53));
}

TEST(StepClockTest, LongPromptsMayTakeInProportion) {
  StepClock clock({});
  RunSteps(&clock, 10, absl::Milliseconds(50), kStart);
  clock.Sent(512, kStart + absl::Seconds(50));
  EXPECT_EQ(clock.timeout(), absl::Milliseconds(50) * 512 * 20);
}

TEST(StepClockTest, TimeInWhichNobodyLookedDoesNotCount) {
  StepClock clock({});
  RunSteps(&clock, 10, absl::Milliseconds(1), kStart);
  clock.Sent(1, kStart + absl::Seconds(50));
  clock.HeldUp(kStart + absl::Seconds(60));
  EXPECT_EQ(clock.deadline(), kStart + absl::Seconds(63));
}

TEST(StepClockTest, StepsAheadCountFromTheCommitBeforeThem) {
  StepClock clock({});
  clock.Sent(1, kStart);
  clock.Sent(1, kStart);
  clock.Committed(kStart + absl::Seconds(1));
  clock.Committed(kStart + absl::Seconds(2));
  EXPECT_EQ(clock.median_step_time(), absl::Seconds(1));
}

}  // namespace
}  // namespace quatrain
