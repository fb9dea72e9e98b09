// A worker process against a coordinator of a few lines: registration,
// commands, a plan, and every way in which it ends.

#include "worker/worker_process.h"

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/digest.h"
#include "base/logging.h"
#include "base/version.h"
#include "gmock/gmock.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "quatrain/internal/v1/group.grpc.pb.h"
#include "tests/worker/local_prompts.h"

namespace quatrain {
namespace {

using internal::v1::Beat;
using internal::v1::Command;
using internal::v1::CoordinatorMessage;
using internal::v1::Reply;
using internal::v1::StepPlan;
using internal::v1::StepResult;
using internal::v1::WorkerMessage;
using testing::HasSubstr;

constexpr uint64_t kEpoch = 9;
const bool kLogging = StartLogging("off", "test").ok();

using ControlStream =
    grpc::ServerReaderWriter<CoordinatorMessage, WorkerMessage>;
using PlanStream = grpc::ServerReaderWriter<StepPlan, StepResult>;

// Answers a worker by a script; one worker at a time.
class ScriptedCoordinator final : public internal::v1::GroupService::Service {
 public:
  // The script talks over the control stream after Hello was read; when it
  // returns, the stream ends.
  using Script = std::function<void(ScriptedCoordinator&, ControlStream&)>;

  explicit ScriptedCoordinator(Script script) : script_(std::move(script)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~ScriptedCoordinator() override {
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::milliseconds(100));
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  const internal::v1::Hello& hello() const { return hello_; }

  grpc::Status Attach(grpc::ServerContext*, ControlStream* stream) override {
    WorkerMessage first;
    if (!stream->Read(&first)) return grpc::Status::OK;
    hello_ = first.hello();
    script_(*this, *stream);
    return grpc::Status::OK;
  }
  grpc::Status Execute(grpc::ServerContext*, PlanStream* stream) override {
    StepResult result;
    if (!stream->Read(&result)) return grpc::Status::OK;
    StepPlan plan;
    while (std::optional<StepPlan> next = plans_.Pop()) {
      stream->Write(*next);
      if (!stream->Read(&result)) break;
      results_.Push(result);
    }
    return grpc::Status::OK;
  }
  grpc::Status Heartbeat(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<Beat, Beat>* stream) override {
    Beat beat;
    while (stream->Read(&beat)) stream->Write(Beat());
    return grpc::Status::OK;
  }

  // For scripts.
  static void Welcome(ControlStream& stream) {
    CoordinatorMessage message;
    message.mutable_welcome()->set_epoch(kEpoch);
    stream.Write(message);
  }
  static void Refuse(ControlStream& stream, absl::StatusCode code) {
    CoordinatorMessage message;
    message.mutable_refusal()->set_code(static_cast<uint32_t>(code));
    message.mutable_refusal()->set_message("you may not");
    message.mutable_refusal()->set_do_not_retry(true);
    stream.Write(message);
  }
  Reply Do(ControlStream& stream, Command command, uint64_t epoch = kEpoch) {
    command.set_command_id(++commands_);
    command.set_epoch(epoch);
    CoordinatorMessage message;
    *message.mutable_command() = command;
    stream.Write(message);
    WorkerMessage answer;
    while (stream.Read(&answer))
      if (answer.has_reply() && answer.reply().command_id() == commands_)
        return answer.reply();
    ADD_FAILURE() << "no reply to command " << commands_;
    return {};
  }
  void Shutdown(ControlStream& stream) {
    Command command;
    command.mutable_shutdown()->set_reason("the test ends");
    Do(stream, command);
  }
  StepResult Execute(const StepPlan& plan) {
    plans_.Push(plan);
    return results_.Pop().value_or(StepResult());
  }
  void ClosePlans() { plans_.Close(); }

 private:
  const Script script_;
  internal::v1::Hello hello_;
  uint64_t commands_ = 0;
  BoundedQueue<StepPlan> plans_{8};
  BoundedQueue<StepResult> results_{8};
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

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

Command PlanOneRank() {
  Command command;
  internal::v1::PlanShard* plan = command.mutable_plan_shard();
  plan->add_places();
  internal::v1::EngineConfig* config = plan->mutable_config();
  internal::v1::Stage* stage = config->mutable_layout()->add_stages();
  stage->set_layer_end(8);
  stage->add_shares(1);
  config->set_block_size(16);
  config->set_max_num_seqs(4);
  config->set_max_num_batched_tokens(64);
  config->set_max_model_len(128);
  config->set_kv_cache_dtype("f16");
  config->set_activations("exact");
  config->set_backend("cpu");
  config->set_isa("auto");
  config->set_num_micro_batches(1);
  config->set_plans_in_flight(2);
  config->set_ranks_on_host(1);
  return command;
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
        ScriptedCoordinator::Welcome(stream);
        const Reply planned = coordinator.Do(stream, PlanOneRank());
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
        Command bad = PlanOneRank();
        bad.mutable_plan_shard()->mutable_config()->set_isa("mmx");
        EXPECT_EQ(code(bad, kEpoch), absl::StatusCode::kInvalidArgument);
        bad = PlanOneRank();
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
        const Reply reply = coordinator.Do(stream, PlanOneRank());
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
        ExpectOk(coordinator.Do(stream, PlanOneRank()));
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
