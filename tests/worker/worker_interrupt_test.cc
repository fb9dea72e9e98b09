// What ends a worker while it reads weights: its own stop, and the
// coordinator's commands. Neither waits for the load.

#include <chrono>
#include <filesystem>
#include <stop_token>
#include <string>
#include <thread>

#include "base/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/random_checkpoint.h"
#include "tests/worker/scripted_coordinator.h"
#include "worker/worker_process.h"

namespace quatrain {
namespace {

using internal::v1::Command;
using internal::v1::Reply;
using internal::v1::WorkerMessage;
using ControlStream = ScriptedCoordinator::ControlStream;
using Clock = std::chrono::steady_clock;

constexpr int kLayers = 24;

// Large enough that one thread packs it for some tenths of a second.
constexpr char kConfig[] = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "vocab_size": 256, "hidden_size": 1024, "intermediate_size": 4096,
  "num_hidden_layers": 24, "num_attention_heads": 8,
  "num_key_value_heads": 8, "head_dim": 128, "hidden_act": "silu",
  "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
  "max_position_embeddings": 256, "tie_word_embeddings": false,
  "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float16"})";

class WorkerInterruptTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_TRUE(StartLogging("off", "test").ok());
    const absl::Status written =
        WriteRandomCheckpoint({.config_json = kConfig}, Folder());
    ASSERT_TRUE(written.ok()) << written;
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(Folder()); }
  static std::string Folder() {
    return testing::TempDir() + "worker_interrupt_model";
  }

  // Plans, begins to load, and waits until the first weights are read. Returns
  // the id of the command that loads.
  static uint64_t BeginLoading(ScriptedCoordinator& coordinator,
                               ControlStream& stream) {
    ScriptedCoordinator::Welcome(stream);
    Command plan = PlanOneRank(kLayers);
    plan.mutable_plan_shard()->mutable_config()->set_threads(1);
    const Reply planned = coordinator.Do(stream, plan);
    EXPECT_EQ(planned.code(), 0u) << planned.message();
    Command load;
    load.mutable_load_shard();
    const uint64_t id = coordinator.Send(stream, load);
    WorkerMessage message;
    while (stream.Read(&message) && !message.has_progress()) {
    }
    EXPECT_TRUE(message.has_progress());
    interrupted_ = Clock::now();
    return id;
  }

  static WorkerOutcome Run(const ScriptedCoordinator::Script& script,
                           const std::stop_token& stop = {},
                           const std::string& max_memory = "cpu=1GiB") {
    ScriptedCoordinator coordinator(script);
    const WorkerOutcome outcome =
        RunWorker({.coordinator = coordinator.address(),
                   .name = "worker-0",
                   .model_folder = Folder(),
                   .max_memory = max_memory},
                  stop);
    EXPECT_LT(Clock::now() - interrupted_, std::chrono::seconds(1));
    return outcome;
  }

  static void ExpectCancelled(const Reply& loaded) {
    EXPECT_EQ(static_cast<absl::StatusCode>(loaded.code()),
              absl::StatusCode::kCancelled)
        << loaded.message();
  }

  static inline Clock::time_point interrupted_;
};

TEST_F(WorkerInterruptTest, AStopEndsTheLoadAndTheCoordinatorHearsOfIt) {
  std::stop_source stop;
  bool said_so = false;
  const WorkerOutcome outcome = Run(
      [&](ScriptedCoordinator& coordinator, ControlStream& stream) {
        const uint64_t load = BeginLoading(coordinator, stream);
        stop.request_stop();
        WorkerMessage message;
        while (stream.Read(&message)) {
          said_so |= message.has_leaving();
          if (!message.has_reply()) continue;
          EXPECT_EQ(message.reply().command_id(), load);
          EXPECT_TRUE(said_so) << "the reply came first";
          ExpectCancelled(message.reply());
        }
        coordinator.ClosePlans();
      },
      stop.get_token());
  EXPECT_EQ(outcome.code, kWorkerStopped) << outcome.status;
  EXPECT_TRUE(said_so);
}

TEST_F(WorkerInterruptTest, AShutdownEndsTheLoadAndIsNoFailure) {
  const WorkerOutcome outcome =
      Run([](ScriptedCoordinator& coordinator, ControlStream& stream) {
        const uint64_t load = BeginLoading(coordinator, stream);
        Command shutdown;
        shutdown.mutable_shutdown()->set_reason("the coordinator stops");
        const uint64_t end = coordinator.Send(stream, shutdown);
        ExpectCancelled(ScriptedCoordinator::AwaitReply(stream, load));
        EXPECT_EQ(ScriptedCoordinator::AwaitReply(stream, end).code(), 0u);
        coordinator.ClosePlans();
      });
  EXPECT_EQ(outcome.code, kWorkerStopped) << outcome.status;
}

TEST_F(WorkerInterruptTest, AnAbortOfTheEpochEndsTheLoadAsTemporary) {
  const WorkerOutcome outcome =
      Run([](ScriptedCoordinator& coordinator, ControlStream& stream) {
        const uint64_t load = BeginLoading(coordinator, stream);
        Command abort;
        abort.mutable_abort_communicators()->set_reason("worker-1 was lost");
        const uint64_t aborted = coordinator.Send(stream, abort);
        ExpectCancelled(ScriptedCoordinator::AwaitReply(stream, load));
        EXPECT_EQ(ScriptedCoordinator::AwaitReply(stream, aborted).code(), 0u);
        Command again;
        again.mutable_load_shard();
        const Reply loaded = coordinator.Do(stream, again);
        EXPECT_EQ(loaded.code(), 0u) << loaded.message();
        interrupted_ = Clock::now();
        coordinator.Shutdown(stream);
        coordinator.ClosePlans();
      });
  EXPECT_EQ(outcome.code, kWorkerLostPeer) << outcome.status;
}

TEST_F(WorkerInterruptTest, TheLossOfTheCoordinatorEndsTheLoad) {
  const WorkerOutcome outcome =
      Run([](ScriptedCoordinator& coordinator, ControlStream& stream) {
        BeginLoading(coordinator, stream);
        coordinator.ClosePlans();
      });
  EXPECT_EQ(outcome.code, kWorkerLostPeer) << outcome.status;
}

// Of two workers that do not fit, the first to say so makes the coordinator end
// the group while the second still plans.
TEST_F(WorkerInterruptTest, AnAbortDoesNotHideWhyACommandFailed) {
  const WorkerOutcome outcome = Run(
      [](ScriptedCoordinator& coordinator, ControlStream& stream) {
        ScriptedCoordinator::Welcome(stream);
        interrupted_ = Clock::now();
        const uint64_t plan = coordinator.Send(stream, PlanOneRank(kLayers));
        Command abort;
        abort.mutable_abort_communicators()->set_reason(
            "worker-1 is too small");
        const uint64_t aborted = coordinator.Send(stream, abort);
        EXPECT_EQ(static_cast<absl::StatusCode>(
                      ScriptedCoordinator::AwaitReply(stream, plan).code()),
                  absl::StatusCode::kResourceExhausted);
        ScriptedCoordinator::AwaitReply(stream, aborted);
        coordinator.Shutdown(stream);
        coordinator.ClosePlans();
      },
      {}, "cpu=64MiB");
  EXPECT_EQ(outcome.code, kWorkerDoesNotFit) << outcome.status;
}

}  // namespace
}  // namespace quatrain
