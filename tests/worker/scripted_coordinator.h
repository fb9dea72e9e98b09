#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/bounded_queue.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "quatrain/internal/v1/group.grpc.pb.h"

namespace quatrain {

// A coordinator of a few lines that answers a worker by a script; one worker at
// a time.
class ScriptedCoordinator final : public internal::v1::GroupService::Service {
 public:
  static constexpr uint64_t kEpoch = 9;
  using Command = internal::v1::Command;
  using CoordinatorMessage = internal::v1::CoordinatorMessage;
  using Reply = internal::v1::Reply;
  using StepPlan = internal::v1::StepPlan;
  using StepResult = internal::v1::StepResult;
  using WorkerMessage = internal::v1::WorkerMessage;
  using ControlStream =
      grpc::ServerReaderWriter<CoordinatorMessage, WorkerMessage>;
  using PlanStream = grpc::ServerReaderWriter<StepPlan, StepResult>;

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
      grpc::ServerReaderWriter<internal::v1::Beat, internal::v1::Beat>* stream)
      override {
    internal::v1::Beat beat;
    while (stream->Read(&beat)) stream->Write(internal::v1::Beat());
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
  // Sends a command and returns its id.
  uint64_t Send(ControlStream& stream, Command command,
                uint64_t epoch = kEpoch) {
    command.set_command_id(++commands_);
    command.set_epoch(epoch);
    CoordinatorMessage message;
    *message.mutable_command() = std::move(command);
    stream.Write(message);
    return commands_;
  }
  // The reply to a command that was sent.
  static Reply AwaitReply(ControlStream& stream, uint64_t command_id) {
    WorkerMessage answer;
    while (stream.Read(&answer))
      if (answer.has_reply() && answer.reply().command_id() == command_id)
        return answer.reply();
    ADD_FAILURE() << "no reply to command " << command_id;
    return {};
  }
  Reply Do(ControlStream& stream, Command command, uint64_t epoch = kEpoch) {
    return AwaitReply(stream, Send(stream, std::move(command), epoch));
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

// One rank of the first `num_layers` layers, which must be the model's.
inline internal::v1::Command PlanOneRank(int num_layers) {
  internal::v1::Command command;
  internal::v1::PlanShard* plan = command.mutable_plan_shard();
  plan->add_places();
  internal::v1::EngineConfig* config = plan->mutable_config();
  internal::v1::Stage* stage = config->mutable_layout()->add_stages();
  stage->set_layer_end(num_layers);
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

}  // namespace quatrain
