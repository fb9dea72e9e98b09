// Somebody sets the clock while a group serves: nothing may come of it. This
// program's clock_gettime takes the place of the C library's.

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "coordinator/worker_group.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/fake_worker.h"
#include "tests/coordinator/recording_listener.h"

namespace {
std::atomic<int64_t> clock_step_seconds = 0;
}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto result = syscall(SYS_clock_gettime, clock, time);
  if (clock == CLOCK_REALTIME) time->tv_sec += clock_step_seconds;
  return static_cast<int>(result);
}

namespace quatrain {
namespace {

class ClockStepTest : public testing::TestWithParam<int> {
 protected:
  ~ClockStepTest() override { clock_step_seconds = 0; }

  static void StepClockBy(int seconds) {
    const auto before = std::chrono::system_clock::now();
    clock_step_seconds += seconds;
    EXPECT_GT(std::chrono::abs(std::chrono::system_clock::now() - before),
              std::chrono::minutes(50));  // or the test tests nothing
  }
};

TEST_P(ClockStepTest, EndsNoGroupAndHidesNoLoss) {
  StepLoop::Options loop_options;
  loop_options.scheduler.max_model_len = 500;
  StepLoop loop(loop_options);
  WorkerGroupOptions options;
  options.epoch = 9;
  options.build_id = "build";
  options.model_digest = "model";
  options.layout = *MakeLayout({.tp = 2, .pp = 1}, /*num_layers=*/4);
  options.worker_timeout = absl::Seconds(1);
  auto group = WorkerGroup::Start(options, loop_options, &loop);
  ASSERT_TRUE(group.ok()) << group.status();
  FakeWorker first((*group)->port(), {.name = "w0", .pause_at_step = 30});
  FakeWorker second((*group)->port(), {.name = "w1"});
  ASSERT_TRUE((*group)->WaitUntilReady().ok());
  GenerationRequest request;
  request.request_id = "a";
  request.prompt_token_ids = {1, 2, 3};
  request.max_tokens = 60;
  const auto heard = std::make_shared<Heard>();
  ASSERT_TRUE(
      loop.Submit(request, std::make_unique<RecordingListener>(heard)).ok());
  while (loop.stats().num_steps < 29)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));

  StepClockBy(GetParam());  // while the group waits for step 30
  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_EQ(heard->ids().size(), 60u) << heard->status();
  EXPECT_EQ(loop.state().phase, EnginePhase::kReady) << loop.state().message;

  second.StopBeating();
  StepClockBy(GetParam());
  for (int i = 0; i < 100 && loop.state().phase == EnginePhase::kReady; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_THAT(loop.state().message, testing::HasSubstr("no heartbeat for 1"));
}

INSTANTIATE_TEST_SUITE_P(Seconds, ClockStepTest, testing::Values(3600, -3600));

}  // namespace
}  // namespace quatrain
