#include "coordinator/worker_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace quatrain {
namespace {

namespace pb = internal::v1;

std::optional<pb::Refusal> Refused(absl::StatusCode code,
                                   const std::string& message,
                                   bool do_not_retry = true) {
  pb::Refusal refusal;
  refusal.set_code(static_cast<uint32_t>(code));
  refusal.set_message(message);
  refusal.set_do_not_retry(do_not_retry);
  return refusal;
}

std::string Named(const pb::Hello& hello) {
  return absl::StrCat("worker \"", hello.worker_name(), "\" on ", hello.host());
}

}  // namespace

WorkerRegistry::WorkerRegistry(Options options)
    : options_(std::move(options)) {}

std::optional<pb::Refusal> WorkerRegistry::Attach(
    const pb::Hello& hello, std::shared_ptr<ControlLink> link, SteadyTime now) {
  const WorkerKey key = {hello.worker_name(), hello.incarnation()};
  std::shared_ptr<ControlLink> replaced;
  {
    MutexLock lock(&mutex_);
    if (auto refusal = Refuse(hello)) return refusal;
    Worker& worker = workers_[key.name];
    replaced = std::move(worker.control);
    worker = Worker{.control = link};
    worker.view.hello = hello;
    worker.view.last_beat_time = now;
  }
  // Links are called without our lock: gRPC may run reactions meanwhile.
  if (replaced != nullptr) {
    replaced->Close(
        grpc::Status(grpc::StatusCode::ABORTED, "the worker attached again"));
  }
  pb::CoordinatorMessage welcome;
  welcome.mutable_welcome()->set_epoch(options_.epoch);
  link->Send(std::move(welcome));

  MutexLock lock(&mutex_);
  Worker* worker = Find(key);
  if (worker == nullptr || worker->control != link) return std::nullopt;
  worker->welcomed = true;
  PostLocked({.kind = WorkerEvent::kAttached, .worker = key});
  return std::nullopt;
}

std::optional<pb::Refusal> WorkerRegistry::Refuse(
    const pb::Hello& hello) const {
  if (auto refusal = RefuseForm(hello)) return refusal;
  const auto found = workers_.find(hello.worker_name());
  if (found != workers_.end()) {
    if (found->second.view.hello.incarnation() == hello.incarnation())
      return std::nullopt;
    const pb::Hello& other = found->second.view.hello;
    return Refused(absl::StatusCode::kInvalidArgument,
                   absl::StrCat(Named(hello), ": another process of that name ",
                                "is attached (host ", other.host(), ", pid ",
                                other.pid(), ")"));
  }
  if (!door_closed_.empty())
    return Refused(absl::StatusCode::kUnavailable,
                   absl::StrCat(Named(hello), ": ", door_closed_),
                   /*do_not_retry=*/false);
  const int attached = NumRanksLocked();
  if (attached + hello.devices_size() <= options_.num_ranks)
    return std::nullopt;
  return Refused(absl::StatusCode::kInvalidArgument,
                 absl::StrCat(Named(hello), ": brings ", hello.devices_size(),
                              " ranks, the layout has ", options_.num_ranks,
                              " and ", attached, " are attached"));
}

std::optional<pb::Refusal> WorkerRegistry::RefuseForm(
    const pb::Hello& hello) const {
  const auto wrong = [&](const std::string& what, const std::string& found,
                         const std::string& expected,
                         absl::StatusCode code =
                             absl::StatusCode::kInvalidArgument) {
    return Refused(code, absl::StrCat(Named(hello), ": ", what, " ", found,
                                      ", expected ", expected));
  };
  if (hello.protocol_revision() != options_.protocol_revision)
    return wrong("protocol revision", absl::StrCat(hello.protocol_revision()),
                 absl::StrCat(options_.protocol_revision));
  if (hello.build_id() != options_.build_id)
    return wrong("build", hello.build_id(), options_.build_id);
  if (hello.worker_name().empty() || hello.devices().empty())
    return wrong("hello",
                 absl::StrCat("with ", hello.devices_size(), " devices"),
                 "a name and at least one device");
  const auto& allowed = options_.workers;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(),
                                    hello.worker_name()) == allowed.end())
    return wrong("unknown name", absl::StrCat("\"", hello.worker_name(), "\""),
                 absl::StrCat("one of ", absl::StrJoin(allowed, ", ")));
  if (hello.model_digest() != options_.model_digest)
    return wrong("model", hello.model_digest(), options_.model_digest,
                 absl::StatusCode::kFailedPrecondition);
  return std::nullopt;
}

absl::Status WorkerRegistry::AddPlanStream(const WorkerKey& key,
                                           std::shared_ptr<PlanLink> link) {
  MutexLock lock(&mutex_);
  Worker* worker = Find(key);
  if (worker == nullptr)
    return absl::FailedPreconditionError(absl::StrCat(
        "worker \"", key.name, "\": this process is not attached"));
  worker->plans = std::move(link);
  worker->view.has_plan_stream = true;
  changed_.SignalAll();
  return absl::OkStatus();
}

absl::Status WorkerRegistry::AddBeatStream(const WorkerKey& key,
                                           std::shared_ptr<BeatLink> link) {
  MutexLock lock(&mutex_);
  Worker* worker = Find(key);
  if (worker == nullptr)
    return absl::FailedPreconditionError(absl::StrCat(
        "worker \"", key.name, "\": this process is not attached"));
  worker->beats = std::move(link);
  worker->view.has_beat_stream = true;
  changed_.SignalAll();
  return absl::OkStatus();
}

bool WorkerRegistry::IsCurrent(const WorkerKey& key, const ControlLink* link) {
  MutexLock lock(&mutex_);
  const Worker* worker = Find(key);
  return worker != nullptr && worker->control.get() == link;
}

void WorkerRegistry::SetRanks(const WorkerKey& key, std::vector<int> ranks) {
  MutexLock lock(&mutex_);
  if (Worker* worker = Find(key)) worker->ranks = std::move(ranks);
}

absl::Status WorkerRegistry::CheckHosts(const WorkerKey& key, int rank) {
  MutexLock lock(&mutex_);
  const Worker* worker = Find(key);
  const std::vector<int> none;
  const std::vector<int>& ranks = worker != nullptr ? worker->ranks : none;
  if (std::find(ranks.begin(), ranks.end(), rank) != ranks.end())
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "it sent a result of rank ", rank, ", expected one of its own (",
      ranks.empty() ? "none" : absl::StrJoin(ranks, ", "), ")"));
}

void WorkerRegistry::OnBeat(const WorkerKey& key, const pb::Beat& beat,
                            SteadyTime now) {
  MutexLock lock(&mutex_);
  Worker* worker = Find(key);
  if (worker == nullptr) return;
  const bool leaves = beat.leaving() && !worker->view.last_beat.leaving();
  worker->view.last_beat = beat;
  worker->view.last_beat_time = now;
  if (leaves)
    PostLocked({.kind = WorkerEvent::kLeaving,
                .worker = key,
                .reason = "it is being shut down"});
}

void WorkerRegistry::Post(WorkerEvent event) {
  MutexLock lock(&mutex_);
  if (Find(event.worker) != nullptr) PostLocked(std::move(event));
}

void WorkerRegistry::OnStreamGone(const WorkerKey& key, const void* link,
                                  const std::string& reason) {
  MutexLock lock(&mutex_);
  Worker* worker = Find(key);
  if (worker == nullptr || closing_) return;
  const bool current = link == worker->control.get() ||
                       link == worker->plans.get() ||
                       link == worker->beats.get();
  if (!current) return;
  workers_.erase(key.name);
  PostLocked({.kind = WorkerEvent::kLost, .worker = key, .reason = reason});
}

void WorkerRegistry::CloseDoor(const std::string& reason) {
  MutexLock lock(&mutex_);
  door_closed_ = reason;
}

std::optional<WorkerEvent> WorkerRegistry::NextEvent(absl::Duration timeout) {
  const SteadyTime deadline = SteadyTime::Now() + timeout;
  MutexLock lock(&mutex_);
  if (events_.empty() && timeout > absl::ZeroDuration())
    changed_.WaitFor(&mutex_,
                     absl::ToChronoNanoseconds(deadline - SteadyTime::Now()));
  if (events_.empty()) return std::nullopt;
  WorkerEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

std::vector<WorkerView> WorkerRegistry::Workers() const {
  MutexLock lock(&mutex_);
  std::vector<WorkerView> views;
  for (const auto& [name, worker] : workers_)
    if (worker.welcomed) views.push_back(worker.view);
  return views;
}

int WorkerRegistry::NumRanksLocked() const {
  int total = 0;
  for (const auto& [name, worker] : workers_)
    total += worker.view.hello.devices_size();
  return total;
}

void WorkerRegistry::SendCommand(const WorkerKey& key,
                                 const pb::Command& command) {
  std::shared_ptr<ControlLink> link;
  {
    MutexLock lock(&mutex_);
    if (Worker* worker = Find(key)) link = worker->control;
  }
  if (link == nullptr) return;
  pb::CoordinatorMessage message;
  *message.mutable_command() = command;
  link->Send(std::move(message));
}

void WorkerRegistry::SendPlan(const grpc::ByteBuffer& plan) {
  std::vector<std::shared_ptr<PlanLink>> links;
  {
    MutexLock lock(&mutex_);
    for (const auto& [name, worker] : workers_) links.push_back(worker.plans);
  }
  for (const auto& link : links)
    if (link != nullptr) link->Send(plan);
}

void WorkerRegistry::SendBeats() {
  std::vector<std::shared_ptr<BeatLink>> links;
  {
    MutexLock lock(&mutex_);
    for (const auto& [name, worker] : workers_) links.push_back(worker.beats);
  }
  pb::Beat beat;
  beat.set_epoch(options_.epoch);
  for (const auto& link : links)
    if (link != nullptr) link->Send(beat);
}

void WorkerRegistry::CloseAll(const grpc::Status& status) {
  std::map<std::string, Worker> workers;
  {
    MutexLock lock(&mutex_);
    closing_ = true;
    if (door_closed_.empty()) door_closed_ = "the coordinator is shutting down";
    workers.swap(workers_);
  }
  for (auto& [name, worker] : workers) {
    if (worker.plans != nullptr) worker.plans->Close(status);
    if (worker.beats != nullptr) worker.beats->Close(status);
    if (worker.control != nullptr) worker.control->Close(status);
  }
}

WorkerRegistry::Worker* WorkerRegistry::Find(const WorkerKey& key) {
  const auto found = workers_.find(key.name);
  if (found == workers_.end() ||
      found->second.view.hello.incarnation() != key.incarnation)
    return nullptr;
  return &found->second;
}

void WorkerRegistry::PostLocked(WorkerEvent event) {
  events_.push_back(std::move(event));
  changed_.SignalAll();
}

}  // namespace quatrain
