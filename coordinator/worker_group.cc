#include "coordinator/worker_group.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/steady_time.h"
#include "coordinator/group_life.h"
#include "coordinator/plan_encoder.h"
#include "grpcpp/support/slice.h"

namespace quatrain {
namespace {

constexpr std::chrono::milliseconds kBeatInterval{250};

WorkerRegistry::Options RegistryOptions(const WorkerGroupOptions& options) {
  return {.epoch = options.epoch,
          .build_id = options.build_id,
          .protocol_revision = options.protocol_revision,
          .model_digest = options.model_digest,
          .workers = options.workers,
          .num_ranks = options.layout.num_ranks()};
}

WorkerGroupOptions WithEpoch(WorkerGroupOptions options) {
  if (options.epoch == 0)
    options.epoch = static_cast<uint64_t>(absl::ToUnixMillis(absl::Now()));
  return options;
}

absl::Status CheckPlanSize(const StepLoop::Options& options) {
  const int tokens = options.scheduler.max_num_batched_tokens;
  if (tokens <= kMaxBatchedTokens) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--max-num-batched-tokens ", tokens, ", accepted at most ",
      kMaxBatchedTokens, ": the result of a step must fit one message"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerGroup>> WorkerGroup::Start(
    WorkerGroupOptions options, const StepLoop::Options& loop_options,
    StepLoop* loop) {
  RETURN_IF_ERROR(CheckPlanSize(loop_options));
  auto group = std::unique_ptr<WorkerGroup>(
      new WorkerGroup(WithEpoch(std::move(options)), loop_options, loop));
  ASSIGN_OR_RETURN(group->server_,
                   GroupServer::Start(group->options_.server, &group->registry_,
                                      &group->store_, loop));
  WorkerGroup* self = group.get();
  group->beats_ =
      std::jthread([self](std::stop_token stop) { self->SendBeats(stop); });
  group->thread_ =
      std::jthread([self] { self->SetDone(GroupLife(self).Run()); });
  return group;
}

WorkerGroup::WorkerGroup(WorkerGroupOptions options,
                         const StepLoop::Options& loop_options, StepLoop* loop)
    : options_(std::move(options)),
      loop_options_(loop_options),
      loop_(loop),
      registry_(RegistryOptions(options_)),
      store_(options_.epoch) {}

WorkerGroup::~WorkerGroup() {
  Stop(absl::ZeroDuration());
  if (thread_.joinable()) thread_.join();
  if (beats_.joinable()) {
    beats_.request_stop();
    beats_.join();
  }
}

absl::Status WorkerGroup::WaitUntilDone() {
  MutexLock lock(&mutex_);
  while (!done_) changed_.Wait(&mutex_);
  return result_;
}

absl::Status WorkerGroup::WaitUntilReady() {
  MutexLock lock(&mutex_);
  while (!done_ && !ready_) changed_.Wait(&mutex_);
  if (!done_) return absl::OkStatus();
  return result_.ok() ? absl::CancelledError("stopped") : result_;
}

void WorkerGroup::Stop(absl::Duration grace) {
  MutexLock lock(&mutex_);
  if (!stop_) grace_ = grace;
  stop_ = true;
}

void WorkerGroup::SendPlan(const std::string& plan_bytes) {
  const grpc::Slice slice(plan_bytes);
  registry_.SendPlan(grpc::ByteBuffer(&slice, 1));
}

void WorkerGroup::OnStepFailed(const StepFailure& failure) {
  MutexLock lock(&mutex_);
  failures_.push_back(failure);
}

void WorkerGroup::SendBeats(std::stop_token stop) {
  while (!stop.stop_requested()) {
    registry_.SendBeats();
    store_.Expire(SteadyTime::Now());
    std::this_thread::sleep_for(kBeatInterval);
  }
}

void WorkerGroup::SetReady() {
  MutexLock lock(&mutex_);
  ready_ = true;
  changed_.SignalAll();
}

void WorkerGroup::SetDone(absl::Status status) {
  MutexLock lock(&mutex_);
  result_ = std::move(status);
  done_ = true;
  changed_.SignalAll();
}

std::optional<StepFailure> WorkerGroup::TakeFailure() {
  MutexLock lock(&mutex_);
  if (failures_.empty()) return std::nullopt;
  StepFailure failure = failures_.front();
  failures_.clear();
  return failure;
}

std::optional<absl::Duration> WorkerGroup::StopGrace() {
  MutexLock lock(&mutex_);
  if (!stop_) return std::nullopt;
  return grace_;
}

}  // namespace quatrain
