#include "worker/worker_process.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/bounded_queue.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "model/model.h"
#include "spdlog/spdlog.h"
#include "worker/coordinator_client.h"
#include "worker/max_memory.h"
#include "worker/process_memory.h"
#include "worker/rank_pool.h"

namespace quatrain {
namespace {

using internal::v1::Command;
using internal::v1::CoordinatorMessage;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr uint32_t kProtocolRevision = 1;
constexpr milliseconds kBeatInterval(250);
constexpr milliseconds kAbortLimit(2000);
constexpr milliseconds kProgressInterval(200);
constexpr size_t kMaxEvents = 1024;

// What the control thread hears: a message, or the loss of the coordinator.
struct Event {
  CoordinatorMessage message;
  absl::Status lost;
};

internal::v1::Hello MakeHello(const WorkerOptions& options, const Model& model,
                              const std::vector<int64_t>& limits) {
  internal::v1::Hello hello;
  hello.set_worker_name(options.name);
  std::random_device random;
  hello.set_incarnation(uint64_t{random()} << 32 | random());
  hello.set_build_id(kBuildId);
  hello.set_protocol_revision(kProtocolRevision);
  hello.set_model_digest(DigestText(model.digest));
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  hello.set_host(host);
  hello.set_pid(getpid());
  for (const int64_t limit : limits) {
    internal::v1::Device* device = hello.add_devices();
    device->set_kind("cpu");
    device->set_limit_bytes(limit);
    device->set_cores(std::max(1u, std::thread::hardware_concurrency()));
  }
  return hello;
}

// The worker's exit for a status that ended it.
WorkerOutcome Ended(WorkerExit code, absl::Status status) {
  return {code, std::move(status)};
}

// Talks to one coordinator, from the first Hello to the end of the connection.
class Session {
 public:
  Session(const WorkerOptions& options, const Model& model,
          const std::vector<int64_t>& limits, const internal::v1::Hello& hello)
      : options_(options),
        events_(kMaxEvents),
        client_(options.coordinator, hello,
                {.on_control = [this](const auto& m) { OnControl(m); },
                 .on_plan = [this](std::string b) { OnPlan(std::move(b)); },
                 .on_lost = [this](const auto& s) { OnLost(s); }}),
        pool_(model, options, limits, &client_.store()) {
    ready_ = true;
  }

  // The ranks' threads send through the client, and the client's callbacks
  // reach the ranks: first the one, then the other, then both may go.
  ~Session() {
    WatchAbort();
    pool_.Abort(absl::CancelledError("the worker stops"));
    pool_.LeaveEpoch();
    client_.Close();
  }

  // Nothing if the coordinator could not be reached, or asked to come again.
  std::optional<WorkerOutcome> Run(std::stop_token stop) {
    std::optional<Event> first = NextEvent(stop);
    if (!first) return Ended(kWorkerStopped, absl::OkStatus());
    if (!first->lost.ok()) return std::nullopt;
    if (!first->message.has_welcome()) return Refused(first->message.refusal());
    epoch_ = first->message.welcome().epoch();
    spdlog::info("attached to {} in epoch {}", options_.coordinator, epoch_);
    client_.OpenPlansAndBeats();
    beats_ = std::jthread([this](std::stop_token t) { BeatLoop(t); });
    return Serve(stop);
  }

 private:
  // The next event; nothing once a stop is requested.
  std::optional<Event> NextEvent(const std::stop_token& stop) {
    while (!stop.stop_requested())
      if (std::optional<Event> event = events_.PopFor(milliseconds(50)))
        return event;
    return std::nullopt;
  }

  std::optional<WorkerOutcome> Refused(const internal::v1::Refusal& refusal) {
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

  WorkerOutcome Serve(const std::stop_token& stop) {
    while (std::optional<Event> event = NextEvent(stop)) {
      if (!event->lost.ok()) return LostCoordinator(event->lost);
      if (!event->message.has_command()) continue;
      const Command& command = event->message.command();
      if (command.has_shutdown()) return ShutDown(command);
      Execute(command);
    }
    return Leave();
  }

  WorkerOutcome LostCoordinator(const absl::Status& status) {
    // A group that was refused may end without a farewell.
    if (failure_.code != kWorkerStopped) return failure_;
    return Ended(kWorkerLostPeer, status);
  }

  WorkerOutcome ShutDown(const Command& command) {
    spdlog::info("the coordinator ends the group: {}",
                 command.shutdown().reason());
    pool_.LeaveEpoch();
    Answer(command, absl::OkStatus(), {});
    client_.Flush(milliseconds(500));
    if (failure_.code == kWorkerStopped && epoch_failed_)
      return Ended(kWorkerLostPeer,
                   absl::UnavailableError(command.shutdown().reason()));
    return failure_;
  }

  WorkerOutcome Leave() {
    leaving_ = true;
    client_.SendLeaving("the worker was asked to stop");
    client_.Flush(milliseconds(500));
    WatchAbort();
    pool_.Abort(absl::CancelledError("the worker stops"));
    return Ended(kWorkerStopped, absl::OkStatus());
  }

  void Execute(const Command& command) {
    internal::v1::Reply reply;
    absl::Status status = CheckEpoch(command);
    if (status.ok()) status = Dispatch(command, &reply);
    if (!status.ok()) spdlog::error("{}", std::string(status.message()));
    failure_ = Ended(ExitOf(command, status), status);
    Answer(command, status, std::move(reply));
    SampleMemory();
  }

  absl::Status CheckEpoch(const Command& command) {
    if (command.epoch() < epoch_)
      return absl::FailedPreconditionError(
          absl::StrCat("command of epoch ", command.epoch(),
                       ", this worker is in epoch ", epoch_.load()));
    epoch_ = command.epoch();
    client_.store().SetEpoch(epoch_);
    return absl::OkStatus();
  }

  absl::Status Dispatch(const Command& command, internal::v1::Reply* reply) {
    switch (command.command_case()) {
      case Command::kPlanShard:
        return pool_.PlanShard(command.plan_shard(), reply);
      case Command::kLoadShard:
        return pool_.LoadShard(ProgressOf(command), reply);
      case Command::kInitCommunicators:
        return InitCommunicators(command.init_communicators());
      case Command::kAllocateKvCache:
        return pool_.AllocateKvCache(
            command.allocate_kv_cache().num_blocks(), epoch_,
            [this](const internal::v1::StepResult& result) {
              if (result.has_fault()) epoch_failed_ = true;
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

  absl::Status InitCommunicators(
      const internal::v1::InitCommunicators& command) {
    std::string host = options_.data_host;
    if (host.empty()) {
      ASSIGN_OR_RETURN(host, client_.LocalHost());
    }
    RETURN_IF_ERROR(pool_.InitCommunicators(command, host));
    epoch_failed_ = false;
    return absl::OkStatus();
  }

  // What the process ends with if the group ends after this command.
  static WorkerExit ExitOf(const Command& command, const absl::Status& status) {
    if (status.ok()) return kWorkerStopped;
    if (status.code() == absl::StatusCode::kResourceExhausted)
      return kWorkerDoesNotFit;
    if (command.has_plan_shard()) return kWorkerRefused;
    if (command.has_load_shard()) return kWorkerModelUnreadable;
    if (command.has_init_communicators() || command.has_warmup())
      return kWorkerLostPeer;
    return kWorkerFailed;
  }

  // Tells people how far a load is, a few times a second.
  RankPool::OnProgress ProgressOf(const Command& command) {
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

  void Answer(const Command& command, const absl::Status& status,
              internal::v1::Reply reply) {
    reply.set_command_id(command.command_id());
    reply.set_epoch(command.epoch());
    reply.set_code(static_cast<uint32_t>(status.code()));
    reply.set_message(std::string(status.message()));
    client_.SendReply(std::move(reply));
  }

  // On gRPC's threads.

  void OnControl(const CoordinatorMessage& message) {
    // What ends an epoch must not wait behind a command that waits for a peer.
    const Command& command = message.command();
    if (command.has_abort_communicators() || command.has_shutdown()) {
      const std::string& reason = command.has_shutdown()
                                      ? command.shutdown().reason()
                                      : command.abort_communicators().reason();
      AbortNow(absl::AbortedError(
          absl::StrCat("the coordinator ends the epoch: ", reason)));
    }
    events_.Push({message, absl::OkStatus()});
  }

  void OnPlan(std::string bytes) {
    const absl::Status status = pool_.OnPlan(std::move(bytes));
    if (!status.ok()) OnLost(status);
  }

  void OnLost(const absl::Status& status) {
    AbortNow(status);
    events_.Push({{}, status});
  }

  void AbortNow(const absl::Status& reason) {
    if (!ready_) return;
    WatchAbort();
    pool_.Abort(reason);
  }

  // From now on the process has two seconds to leave its epoch.
  void WatchAbort() {
    int64_t none = 0;
    abort_deadline_ns_.compare_exchange_strong(
        none, (Clock::now() + kAbortLimit).time_since_epoch().count());
  }

  void BeatLoop(const std::stop_token& stop) {
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

  internal::v1::Beat MakeBeat() {
    internal::v1::Beat beat;
    beat.set_epoch(epoch_);
    beat.set_last_step(pool_.last_step());
    beat.set_memory_bytes(memory_bytes_);
    beat.set_peak_memory_bytes(peak_memory_bytes_);
    beat.set_leaving(leaving_);
    return beat;
  }

  void SampleMemory() {
    memory_bytes_ = AnonymousBytes();
    peak_memory_bytes_ =
        std::max(peak_memory_bytes_.load(), memory_bytes_.load());
  }

  // Killing itself is the one way out that cannot wedge.
  void ExitIfStuck() {
    const int64_t deadline = abort_deadline_ns_;
    if (deadline == 0 || Clock::now().time_since_epoch().count() < deadline)
      return;
    spdlog::critical("could not leave the epoch within {} ms, exiting",
                     kAbortLimit.count());
    std::_Exit(kWorkerLostPeer);
  }

  const WorkerOptions& options_;
  std::atomic<bool> ready_{false};  // the pool exists
  std::atomic<uint64_t> epoch_{0};
  std::atomic<bool> leaving_{false};
  std::atomic<int64_t> abort_deadline_ns_{0};  // 0 = none
  std::atomic<int64_t> memory_bytes_{0}, peak_memory_bytes_{0};
  std::atomic<bool> epoch_failed_{false};
  WorkerOutcome failure_;  // what the last command came to
  BoundedQueue<Event> events_;
  CoordinatorClient client_;
  RankPool pool_;
  std::jthread beats_;  // last: stops before what it uses
};

// Waits before the next try: twice as long each time up to two seconds, less a
// random part, so that workers do not dial in step.
class Backoff {
 public:
  void Wait(const std::stop_token& stop) {
    const double part = std::uniform_real_distribution(0.5, 1.0)(random_);
    const auto until =
        Clock::now() +
        std::chrono::duration_cast<Clock::duration>(delay_ * part);
    delay_ = std::min(delay_ * 2, std::chrono::duration<double>(2.0));
    while (!stop.stop_requested() && Clock::now() < until)
      std::this_thread::sleep_for(milliseconds(20));
  }

 private:
  std::mt19937 random_{std::random_device{}()};
  std::chrono::duration<double> delay_{0.1};
};

WorkerOutcome Dial(const WorkerOptions& options, const Model& model,
                   const std::vector<int64_t>& limits,
                   const std::stop_token& stop) {
  const internal::v1::Hello hello = MakeHello(options, model, limits);
  Backoff backoff;
  bool first = true;
  while (!stop.stop_requested()) {
    Session session(options, model, limits, hello);
    if (std::optional<WorkerOutcome> outcome = session.Run(stop))
      return *std::move(outcome);
    if (std::exchange(first, false))
      spdlog::info("waiting for coordinator {}", options.coordinator);
    backoff.Wait(stop);
  }
  return Ended(kWorkerStopped, absl::OkStatus());
}

absl::Status CheckOptions(const WorkerOptions& options) {
  if (options.name.empty())
    return absl::InvalidArgumentError("--name is empty, expected a name");
  if (options.coordinator.find(':') == std::string::npos)
    return absl::InvalidArgumentError(absl::StrCat(
        "--coordinator is '", options.coordinator, "', expected HOST:PORT"));
  if (options.num_ranks < 1)
    return absl::InvalidArgumentError(absl::StrCat(
        "--ranks is ", options.num_ranks, ", expected at least 1"));
  return absl::OkStatus();
}

}  // namespace

WorkerOutcome RunWorker(const WorkerOptions& options, std::stop_token stop) {
  ReturnFreedMemory();
  if (absl::Status status = CheckOptions(options); !status.ok())
    return Ended(kWorkerRefused, std::move(status));
  absl::StatusOr<std::vector<int64_t>> limits =
      ParseMaxMemory(options.max_memory, options.num_ranks);
  if (!limits.ok()) return Ended(kWorkerRefused, limits.status());
  absl::StatusOr<Model> model = OpenModel(options.model_folder);
  if (!model.ok()) return Ended(kWorkerModelUnreadable, model.status());
  return Dial(options, *model, *limits, stop);
}

}  // namespace quatrain
