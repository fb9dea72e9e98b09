// A worker process against a coordinator of a few lines: registration,
// commands, a plan, and every way in which it ends.

#include "worker/worker_process.h"

#include <string>
#include <thread>
#include <utility>

#include "base/digest.h"
#include "base/logging.h"
#include "base/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/local_prompts.h"
#include "tests/worker/scripted_coordinator.h"

namespace quatrain {
namespace {

using internal::v1::Command;
using internal::v1::Reply;
using internal::v1::StepPlan;
using internal::v1::StepResult;
using internal::v1::WorkerMessage;
using testing::AllOf;
using testing::HasSubstr;
using ControlStream = ScriptedCoordinator::ControlStream;

constexpr uint64_t kEpoch = ScriptedCoordinator::kEpoch;
const bool kLogging = StartLogging("off", "test").ok();

WorkerOptions Options(const std::string& address,
                      const std::string& max_memory = "cpu=128MiB") {
  return {.coordinator = address,
          .name = "worker-0",
          .model_folder = kTales,
          .max_memory = max_memory};
}

WorkerOutcome RunAgainst(const ScriptedCoordinator::Script& script,
                         const std::string& max_memory = "cpu=128MiB") {
  ScriptedCoordinator coordinator(script);
  return RunWorker(Options(coordinator.address(), max_memory), {});
}

void ExpectOk(const Reply& reply) {
  EXPECT_EQ(reply.code(), 0u) << reply.message();
}

TEST(WorkerProcessTest, ServesAPlan) {
  ASSERT_TRUE(kLogging);
  StepResult result;
  StepPlan plan;
  plan.set_epoch(kEpoch);
  plan.set_step_id(1);
  const WorkerOutcome outcome =
      RunAgainst([&](ScriptedCoordinator& coordinator, ControlStream& stream) {
        EXPECT_EQ(coordinator.hello().worker_name(), "worker-0");
        EXPECT_EQ(coordinator.hello().build_id(), kBuildId);
        ASSERT_EQ(coordinator.hello().devices_size(), 1);
        EXPECT_EQ(coordinator.hello().devices(0).limit_bytes(), 128 << 20);
        EXPECT_THAT(coordinator.hello().devices(0).description(),
                    AllOf(HasSubstr("cpu, "), HasSubstr("weights T16")));
        ScriptedCoordinator::Welcome(stream);
        const Reply planned = coordinator.Do(stream, PlanOneRank(8));
        ExpectOk(planned);
        ASSERT_EQ(planned.shard_plans_size(), 1);
        EXPECT_GT(planned.shard_plans(0).num_blocks(), 8);
        Command load, init, allocate, warm_up;
        load.mutable_load_shard();
        const Reply loaded = coordinator.Do(stream, load);
        ExpectOk(loaded);
        ASSERT_EQ(loaded.shards_size(), 1);
        EXPECT_GT(loaded.shards(0).weights_bytes(), 4 << 20);
        init.mutable_init_communicators()->set_prefix("a");
        init.mutable_init_communicators()->add_all_places();
        init.mutable_init_communicators()->add_processes(0);
        ExpectOk(coordinator.Do(stream, init));
        allocate.mutable_allocate_kv_cache()->set_num_blocks(8);
        ExpectOk(coordinator.Do(stream, allocate));
        warm_up.mutable_warmup();
        ExpectOk(coordinator.Do(stream, warm_up));
        result = coordinator.Execute(plan);
        coordinator.Shutdown(stream);
        coordinator.ClosePlans();
      });
  EXPECT_EQ(outcome.code, kWorkerStopped) << outcome.status;
  EXPECT_EQ(result.step_id(), 1u);
  EXPECT_FALSE(result.has_fault()) << result.fault().message();
  const std::string bytes = plan.SerializeAsString();
  EXPECT_EQ(result.digest(),
            ChainDigest(ChainDigest(0, std::as_bytes(std::span(bytes))), {}));
}

TEST(WorkerProcessTest, RefusesCommandsThatMakeNoSense) {
  const WorkerOutcome outcome =
      RunAgainst([](ScriptedCoordinator& coordinator, ControlStream& stream) {
        ScriptedCoordinator::Welcome(stream);
        const auto code = [&](const Command& command, uint64_t epoch) {
          return static_cast<absl::StatusCode>(
              coordinator.Do(stream, command, epoch).code());
        };
        Command load;
        load.mutable_load_shard();
        EXPECT_EQ(code({}, kEpoch), absl::StatusCode::kUnimplemented);
        EXPECT_EQ(code(load, kEpoch), absl::StatusCode::kFailedPrecondition);
        EXPECT_EQ(code(load, 1), absl::StatusCode::kFailedPrecondition);
        Command bad = PlanOneRank(8);
        bad.mutable_plan_shard()->mutable_config()->set_isa("mmx");
        EXPECT_EQ(code(bad, kEpoch), absl::StatusCode::kInvalidArgument);
        bad = PlanOneRank(8);
        bad.mutable_plan_shard()->mutable_places(0)->set_device(1);
        EXPECT_EQ(code(bad, kEpoch), absl::StatusCode::kInvalidArgument);
        coordinator.Shutdown(stream);
        coordinator.ClosePlans();
      });
  EXPECT_EQ(outcome.code, kWorkerRefused);
}

TEST(WorkerProcessTest, SaysThatItDoesNotFit) {
  const WorkerOutcome outcome = RunAgainst(
      [](ScriptedCoordinator& coordinator, ControlStream& stream) {
        ScriptedCoordinator::Welcome(stream);
        const Reply reply = coordinator.Do(stream, PlanOneRank(8));
        EXPECT_EQ(static_cast<absl::StatusCode>(reply.code()),
                  absl::StatusCode::kResourceExhausted);
        EXPECT_THAT(reply.message(), HasSubstr("does not fit: rank 0"));
        EXPECT_EQ(reply.shard_plans_size(), 1);
        coordinator.Shutdown(stream);
        coordinator.ClosePlans();
      },
      "cpu=8MiB");
  EXPECT_EQ(outcome.code, kWorkerDoesNotFit);
}

TEST(WorkerProcessTest, EndsWithTheReasonOfARefusal) {
  for (const auto& [code, exit] :
       {std::pair{absl::StatusCode::kInvalidArgument, kWorkerRefused},
        std::pair{absl::StatusCode::kFailedPrecondition,
                  kWorkerModelUnreadable},
        std::pair{absl::StatusCode::kResourceExhausted, kWorkerDoesNotFit}}) {
    const WorkerOutcome outcome =
        RunAgainst([code = code](ScriptedCoordinator&, ControlStream& stream) {
          ScriptedCoordinator::Refuse(stream, code);
          WorkerMessage ignored;
          stream.Read(&ignored);  // until the worker leaves
        });
    EXPECT_EQ(outcome.code, exit);
    EXPECT_EQ(outcome.status.code(), code);
    EXPECT_EQ(std::string(outcome.status.message()), "you may not");
  }
}

TEST(WorkerProcessTest, EndsWhenTheCoordinatorGoesAway) {
  const WorkerOutcome outcome =
      RunAgainst([](ScriptedCoordinator& coordinator, ControlStream& stream) {
        ScriptedCoordinator::Welcome(stream);
        ExpectOk(coordinator.Do(stream, PlanOneRank(8)));
        coordinator.ClosePlans();
      });
  EXPECT_EQ(outcome.code, kWorkerLostPeer);
}

TEST(WorkerProcessTest, StopsWhileNobodyAnswers) {
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop.request_stop();
  });
  EXPECT_EQ(RunWorker(Options("127.0.0.1:1"), stop.get_token()).code,
            kWorkerStopped);
}

TEST(WorkerProcessTest, RefusesBadOptions) {
  WorkerOptions options = Options("no port");
  EXPECT_EQ(RunWorker(options, {}).code, kWorkerRefused);
  options = Options("127.0.0.1:1", "cpu=1gb");
  EXPECT_EQ(RunWorker(options, {}).code, kWorkerRefused);
  options = Options("127.0.0.1:1");
  options.name = "";
  EXPECT_EQ(RunWorker(options, {}).code, kWorkerRefused);
  options = Options("127.0.0.1:1");
  options.model_folder = "no/such/folder";
  EXPECT_EQ(RunWorker(options, {}).code, kWorkerModelUnreadable);
}

}  // namespace
}  // namespace quatrain
