#include "worker/coordinator_session.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "spdlog/spdlog.h"
#include "worker/process_memory.h"

namespace quatrain {
namespace {

using internal::v1::Command;
using internal::v1::CoordinatorMessage;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kBeatInterval(250);
constexpr milliseconds kAbortLimit(2000);
constexpr milliseconds kProgressInterval(200);
constexpr milliseconds kFlushLimit(500);
constexpr size_t kMaxEvents = 1024;

WorkerOutcome Ended(WorkerExit code, absl::Status status) {
  return {.code = code, .status = std::move(status)};
}

// What the process ends with if the group ends after this command.
WorkerExit ExitOf(const Command& command, const absl::Status& status) {
  if (status.ok()) return kWorkerStopped;
  if (status.code() == absl::StatusCode::kResourceExhausted)
    return kWorkerDoesNotFit;
  if (command.has_plan_shard()) return kWorkerRefused;
  if (command.has_load_shard()) return kWorkerModelUnreadable;
  if (command.has_init_communicators() || command.has_warmup())
    return kWorkerLostPeer;
  return kWorkerFailed;
}

// Whether the command may have failed for no other reason than that somebody
// ended the work. A budget that is too small or a broken file is no such thing,
// whoever else has given up meanwhile.
bool IsCutShort(const Command& command, const absl::Status& status) {
  if (command.has_load_shard()) return absl::IsCancelled(status);
  return !status.ok() &&
         (command.has_init_communicators() || command.has_warmup());
}

}  // namespace

CoordinatorSession::CoordinatorSession(const WorkerOptions& options,
                                       const Model& model,
                                       const std::vector<DeviceLimit>& devices,
                                       const internal::v1::Hello& hello)
    : options_(options),
      events_(kMaxEvents),
      client_(options.coordinator, hello,
              {.on_control = [this](const auto& m) { OnControl(m); },
               .on_plan = [this](std::string b) { OnPlan(std::move(b)); },
               .on_lost = [this](const auto& s) { OnLost(s); }}),
      pool_(model, options, devices, &client_.store()) {
  ready_ = true;
}

// The ranks' threads send through the client, and the client's callbacks reach
// the ranks: first the one ends, then the other, then both may go.
CoordinatorSession::~CoordinatorSession() {
  WatchAbort();
  pool_.Abort(absl::CancelledError("the worker stops"));
  pool_.LeaveEpoch();
  client_.Close();
}

std::optional<WorkerOutcome> CoordinatorSession::Run(
    const std::stop_token& stop) {
  std::optional<Event> first = NextEvent(stop);
  if (!first) return Ended(kWorkerStopped, absl::OkStatus());
  if (!first->lost.ok()) return std::nullopt;
  if (!first->message.has_welcome()) return Refused(first->message.refusal());
  epoch_ = first->message.welcome().epoch();
  spdlog::info("attached to {} in epoch {}", options_.coordinator, epoch_);
  client_.OpenPlansAndBeats();
  beats_ = std::jthread([this](std::stop_token t) { BeatLoop(t); });
  WorkerOutcome outcome = Serve(stop);
  outcome.attached = true;
  return outcome;
}

std::optional<CoordinatorSession::Event> CoordinatorSession::NextEvent(
    const std::stop_token& stop) {
  while (!stop.stop_requested())
    if (std::optional<Event> event = events_.PopFor(milliseconds(50)))
      return event;
  return std::nullopt;
}

std::optional<WorkerOutcome> CoordinatorSession::Refused(
    const internal::v1::Refusal& refusal) {
  if (!refusal.do_not_retry()) {
    spdlog::warn("coordinator {}: not now: {}", options_.coordinator,
                 refusal.message());
    return std::nullopt;
  }
  const auto code = static_cast<absl::StatusCode>(refusal.code());
  const absl::Status status(code, refusal.message());
  switch (code) {
    case absl::StatusCode::kFailedPrecondition:
      return Ended(kWorkerModelUnreadable, status);
    case absl::StatusCode::kResourceExhausted:
      return Ended(kWorkerDoesNotFit, status);
    default:
      return Ended(kWorkerRefused, status);
  }
}

WorkerOutcome CoordinatorSession::Serve(const std::stop_token& stop) {
  // At once, since this thread may be loading weights or waiting for a peer.
  const std::stop_callback on_stop(stop, [this] { Leave(); });
  while (std::optional<Event> event = NextEvent(stop)) {
    if (!event->lost.ok()) return LostCoordinator(event->lost);
    if (!event->message.has_command()) continue;
    const Command& command = event->message.command();
    if (command.has_shutdown()) return ShutDown(command);
    Execute(command);
  }
  return Ended(kWorkerStopped, absl::OkStatus());
}

WorkerOutcome CoordinatorSession::LostCoordinator(const absl::Status& status) {
  // A group that was refused may end without a farewell.
  if (failure_.code != kWorkerStopped) return failure_;
  return Ended(kWorkerLostPeer, status);
}

WorkerOutcome CoordinatorSession::ShutDown(const Command& command) {
  spdlog::info("the coordinator ends the group: {}",
               command.shutdown().reason());
  pool_.LeaveEpoch();
  Answer(command, absl::OkStatus(), {});
  client_.Flush(kFlushLimit);
  if (failure_.code == kWorkerStopped && epoch_failed_)
    return Ended(kWorkerLostPeer,
                 absl::UnavailableError(command.shutdown().reason()));
  return failure_;
}

// The coordinator hears of it before its group breaks.
void CoordinatorSession::Leave() {
  leaving_ = true;
  client_.SendLeaving("the worker was asked to stop");
  client_.Flush(kFlushLimit);
  AbortNow(absl::CancelledError("the worker stops"));
}

void CoordinatorSession::Execute(const Command& command) {
  internal::v1::Reply reply;
  absl::Status status = CheckEpoch(command);
  if (status.ok()) status = Dispatch(command, &reply);
  // Who interrupts knows why; nothing is wrong with the command.
  const bool cut_short = interrupted() && IsCutShort(command, status);
  if (!status.ok())
    spdlog::log(cut_short ? spdlog::level::debug : spdlog::level::err, "{}",
                std::string(status.message()));
  // The end of the epoch follows a failure; it does not undo it.
  if (!cut_short && !command.has_abort_communicators())
    failure_ = Ended(ExitOf(command, status), status);
  Answer(command, status, std::move(reply));
  SampleMemory();
}

absl::Status CoordinatorSession::CheckEpoch(const Command& command) {
  if (command.epoch() < epoch_)
    return absl::FailedPreconditionError(
        absl::StrCat("command of epoch ", command.epoch(),
                     ", this worker is in epoch ", epoch_.load()));
  epoch_ = command.epoch();
  client_.store().SetEpoch(epoch_);
  return absl::OkStatus();
}

absl::Status CoordinatorSession::Dispatch(const Command& command,
                                          internal::v1::Reply* reply) {
  switch (command.command_case()) {
    case Command::kPlanShard:
      return pool_.PlanShard(command.plan_shard(), reply);
    case Command::kLoadShard:
      return pool_.LoadShard(
          ProgressOf(command), [this] { return interrupted(); }, reply);
    case Command::kInitCommunicators:
      return InitCommunicators(command.init_communicators());
    case Command::kAllocateKvCache:
      return pool_.AllocateKvCache(
          command.allocate_kv_cache().num_blocks(), epoch_,
          [this](const internal::v1::StepResult& result) {
            client_.SendResult(result);
          });
    case Command::kWarmup:
      return pool_.Warmup();
    case Command::kAbortCommunicators:
      epoch_failed_ = true;
      pool_.LeaveEpoch();
      abort_deadline_ns_ = 0;
      return absl::OkStatus();
    default:
      return absl::UnimplementedError(
          absl::StrCat("command ", static_cast<int>(command.command_case()),
                       " is not known to this worker"));
  }
}

absl::Status CoordinatorSession::InitCommunicators(
    const internal::v1::InitCommunicators& command) {
  std::string host = options_.data_host;
  if (host.empty()) {
    ASSIGN_OR_RETURN(host, client_.LocalHost());
  }
  RETURN_IF_ERROR(pool_.InitCommunicators(command, host));
  epoch_failed_ = false;
  return absl::OkStatus();
}

// Tells people how far a load is, a few times a second.
RankPool::OnProgress CoordinatorSession::ProgressOf(const Command& command) {
  auto last = std::make_shared<std::atomic<int64_t>>(0);  // of all ranks
  return [this, last, id = command.command_id()](int rank, int64_t done,
                                                 int64_t total) {
    const int64_t now = Clock::now().time_since_epoch() / milliseconds(1);
    int64_t before = last->load();
    if (done < total && now - before < kProgressInterval.count()) return;
    last->store(now);
    internal::v1::Progress progress;
    progress.set_command_id(id);
    progress.set_rank(static_cast<uint32_t>(rank));
    progress.set_done_bytes(done);
    progress.set_total_bytes(total);
    client_.SendProgress(progress);
  };
}

void CoordinatorSession::Answer(const Command& command,
                                const absl::Status& status,
                                internal::v1::Reply reply) {
  reply.set_command_id(command.command_id());
  reply.set_epoch(command.epoch());
  reply.set_code(static_cast<uint32_t>(status.code()));
  reply.set_message(std::string(status.message()));
  client_.SendReply(std::move(reply));
}

void CoordinatorSession::OnControl(const CoordinatorMessage& message) {
  // What ends an epoch must not wait behind a command that waits for a peer.
  const Command& command = message.command();
  if (command.has_abort_communicators() || command.has_shutdown()) {
    if (command.has_shutdown()) ending_ = true;
    const std::string& reason = command.has_shutdown()
                                    ? command.shutdown().reason()
                                    : command.abort_communicators().reason();
    AbortNow(absl::AbortedError(
        absl::StrCat("the coordinator ends the epoch: ", reason)));
  }
  events_.Push({message, absl::OkStatus()});
}

void CoordinatorSession::OnPlan(std::string bytes) {
  const absl::Status status = pool_.OnPlan(std::move(bytes));
  if (!status.ok()) OnLost(status);
}

void CoordinatorSession::OnLost(const absl::Status& status) {
  AbortNow(status);
  events_.Push({{}, status});
}

void CoordinatorSession::AbortNow(const absl::Status& reason) {
  if (!ready_) return;
  WatchAbort();
  pool_.Abort(reason);
}

// From now on the process has two seconds to leave its epoch.
void CoordinatorSession::WatchAbort() {
  int64_t none = 0;
  abort_deadline_ns_.compare_exchange_strong(
      none, (Clock::now() + kAbortLimit).time_since_epoch().count());
}

void CoordinatorSession::BeatLoop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    SampleMemory();
    client_.SendBeat(MakeBeat());
    if (client_.SinceLastBeat() > options_.coordinator_timeout)
      OnLost(absl::UnavailableError(
          absl::StrCat("coordinator ", options_.coordinator, ": no beat for ",
                       options_.coordinator_timeout.count(), " ms")));
    ExitIfStuck();
    std::this_thread::sleep_for(kBeatInterval);
  }
}

internal::v1::Beat CoordinatorSession::MakeBeat() {
  internal::v1::Beat beat;
  beat.set_epoch(epoch_);
  beat.set_last_step(pool_.last_step());
  beat.set_memory_bytes(memory_bytes_);
  beat.set_peak_memory_bytes(peak_memory_bytes_);
  beat.set_leaving(leaving_);
  return beat;
}

void CoordinatorSession::SampleMemory() {
  memory_bytes_ = AnonymousBytes();
  peak_memory_bytes_ =
      std::max(peak_memory_bytes_.load(), memory_bytes_.load());
}

// Killing itself is the one way out that cannot wedge.
void CoordinatorSession::ExitIfStuck() {
  const int64_t deadline = abort_deadline_ns_;
  if (deadline == 0 || Clock::now().time_since_epoch().count() < deadline)
    return;
  spdlog::critical("could not leave the epoch within {} ms, exiting",
                   kAbortLimit.count());
  std::_Exit(kWorkerLostPeer);
}

}  // namespace quatrain
