#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "grpcpp/grpcpp.h"
#include "quatrain/internal/v1/group.grpc.pb.h"
#include "tests/coordinator/fake_rank.h"

namespace quatrain {

// A worker process without a model: speaks the whole protocol over gRPC, from
// threads of the test, with FakeRanks behind it.
class FakeWorker {
 public:
  struct Options {
    std::string name = "w0";
    uint64_t incarnation = 1;
    std::string build_id = "build";
    uint32_t protocol_revision = 1;
    std::string model_digest = "model";
    int num_ranks = 1;
    int64_t num_blocks = 100;
    // The command of this number in Command's oneof fails, that many times.
    int failing_command = 0;
    int num_failures = 1 << 30;
    std::string failure = "it broke";
    uint64_t fault_at_step = 0;  // reports a fault of fault_peer
    int fault_peer = -1;
    uint64_t silent_from_step = 0;
    uint64_t pause_at_step = 0;  // of half a second
    int claimed_rank = -1;       // in its results, instead of its own
  };

  FakeWorker(int port, Options options) : options_(std::move(options)) {
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", port),
                                   grpc::InsecureChannelCredentials());
    stub_ = internal::v1::GroupService::NewStub(channel_);
    attach_ = stub_->Attach(&attach_context_);
    attach_->Write(Hello());
    control_thread_ = std::jthread([this] { ReadControl(); });
  }
  ~FakeWorker() {
    Die();
    control_thread_.join();  // it starts the others
  }

  // Ends its connections at once, as the death of the process would.
  void Die() {
    stop_ = true;
    attach_context_.TryCancel();
    execute_context_.TryCancel();
    heartbeat_context_.TryCancel();
  }
  void StopBeating() { beating_ = false; }

  std::optional<internal::v1::Refusal> refusal() const {
    MutexLock lock(&mutex_);
    return refusal_;
  }
  // The commands it got, by their names in the proto.
  std::vector<std::string> commands() const {
    MutexLock lock(&mutex_);
    return commands_;
  }
  // Waits for a command of that name. False if it did not come in 10 seconds.
  bool WaitFor(const std::string& name) const {
    for (int i = 0; i < 1000; ++i) {
      for (const std::string& command : commands())
        if (command == name) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  bool WaitForRefusal() const {
    for (int i = 0; i < 1000 && !refusal(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return refusal().has_value();
  }
  internal::v1::PlanShard plan_shard() const {
    MutexLock lock(&mutex_);
    return plan_shard_;
  }

 private:
  internal::v1::WorkerMessage Hello() const {
    internal::v1::WorkerMessage message;
    internal::v1::Hello* hello = message.mutable_hello();
    hello->set_worker_name(options_.name);
    hello->set_incarnation(options_.incarnation);
    hello->set_build_id(options_.build_id);
    hello->set_protocol_revision(options_.protocol_revision);
    hello->set_model_digest(options_.model_digest);
    hello->set_host("testhost");
    hello->set_pid(getpid());
    for (int i = 0; i < options_.num_ranks; ++i)
      hello->add_devices()->set_kind("cpu");
    return message;
  }

  void Identify(grpc::ClientContext* context) const {
    context->AddMetadata("x-quatrain-worker", options_.name);
    context->AddMetadata("x-quatrain-incarnation",
                         absl::StrCat(options_.incarnation));
  }

  void ReadControl() {
    internal::v1::CoordinatorMessage message;
    while (attach_->Read(&message)) {
      if (message.has_refusal()) {
        MutexLock lock(&mutex_);
        refusal_ = message.refusal();
      }
      if (message.has_welcome()) OpenStreams();
      if (message.has_command()) Obey(message.command());
    }
    attach_->Finish();
  }

  void OpenStreams() {
    Identify(&execute_context_);
    Identify(&heartbeat_context_);
    execute_ = stub_->Execute(&execute_context_);
    execute_->Write(internal::v1::StepResult());
    heartbeat_ = stub_->Heartbeat(&heartbeat_context_);
    step_thread_ = std::jthread([this] { RunSteps(); });
    beat_thread_ = std::jthread([this] { Beat(); });
  }

  void Obey(const internal::v1::Command& command) {
    {
      MutexLock lock(&mutex_);
      const auto* field =
          command.GetDescriptor()->FindFieldByNumber(command.command_case());
      commands_.push_back(field->name());
      if (command.has_plan_shard()) plan_shard_ = command.plan_shard();
    }
    internal::v1::WorkerMessage answer;
    internal::v1::Reply* reply = answer.mutable_reply();
    reply->set_command_id(command.command_id());
    reply->set_epoch(command.epoch());
    if (command.command_case() == options_.failing_command &&
        options_.num_failures-- > 0) {
      reply->set_code(static_cast<uint32_t>(grpc::StatusCode::UNAVAILABLE));
      reply->set_message(options_.failure);
    } else if (command.has_plan_shard()) {
      PlanShards(command.plan_shard(), reply);
    }
    attach_->Write(answer);
  }

  void PlanShards(const internal::v1::PlanShard& plan,
                  internal::v1::Reply* reply) {
    MutexLock lock(&mutex_);
    const uint32_t last_stage = plan.config().layout().stages_size() - 1;
    for (const internal::v1::RankPlace& place : plan.places()) {
      ranks_.emplace_back(place.rank(), place.stage() == 0,
                          place.stage() == last_stage && place.tp_rank() == 0);
      internal::v1::ShardPlanReport* report = reply->add_shard_plans();
      report->set_rank(place.rank());
      report->set_limit_bytes(1 << 30);
      report->set_kv_bytes_per_block(1 << 20);
      report->set_num_blocks(options_.num_blocks);
      internal::v1::MemoryTerm* term = report->add_terms();
      term->set_name("weights");
      term->set_bytes((1 << 30) - options_.num_blocks * (1 << 20));
    }
  }

  void RunSteps() {
    internal::v1::StepPlan plan;
    while (execute_->Read(&plan)) {
      const std::string bytes = plan.SerializeAsString();
      if (plan.step_id() == options_.pause_at_step)
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
      MutexLock lock(&mutex_);
      for (FakeRank& rank : ranks_) {
        internal::v1::StepResult result = rank.Execute(bytes);
        if (plan.step_id() == options_.fault_at_step) {
          result.clear_rows();
          result.mutable_fault()->set_code(14);
          result.mutable_fault()->set_message("peer closed the connection");
          result.mutable_fault()->set_peer_rank(options_.fault_peer);
        }
        if (options_.claimed_rank >= 0) result.set_rank(options_.claimed_rank);
        if (options_.silent_from_step != 0 &&
            plan.step_id() >= options_.silent_from_step)
          continue;
        execute_->Write(result);
        last_step_ = plan.step_id();
      }
    }
    execute_->Finish();
  }

  void Beat() {
    std::jthread reader([this] {
      internal::v1::Beat beat;
      while (heartbeat_->Read(&beat)) epoch_ = beat.epoch();
    });
    while (!stop_) {
      internal::v1::Beat beat;
      beat.set_epoch(epoch_);
      beat.set_last_step(last_step_);
      if (beating_ && epoch_ != 0 && !heartbeat_->Write(beat)) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    reader.join();
    heartbeat_->Finish();
  }

  Options options_;
  std::shared_ptr<grpc::Channel> channel_;  // gRPC's kind of ownership
  std::unique_ptr<internal::v1::GroupService::Stub> stub_;
  grpc::ClientContext attach_context_, execute_context_, heartbeat_context_;
  std::unique_ptr<grpc::ClientReaderWriter<internal::v1::WorkerMessage,
                                           internal::v1::CoordinatorMessage>>
      attach_;
  std::unique_ptr<grpc::ClientReaderWriter<internal::v1::StepResult,
                                           internal::v1::StepPlan>>
      execute_;
  std::unique_ptr<
      grpc::ClientReaderWriter<internal::v1::Beat, internal::v1::Beat>>
      heartbeat_;

  std::atomic<bool> stop_ = false, beating_ = true;
  std::atomic<uint64_t> epoch_ = 0, last_step_ = 0;
  mutable Mutex mutex_;
  std::vector<FakeRank> ranks_ ABSL_GUARDED_BY(mutex_);
  std::optional<internal::v1::Refusal> refusal_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> commands_ ABSL_GUARDED_BY(mutex_);
  internal::v1::PlanShard plan_shard_ ABSL_GUARDED_BY(mutex_);
  std::jthread step_thread_, beat_thread_, control_thread_;
};

}  // namespace quatrain
