#include "coordinator/group_life.h"

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/byte_size.h"
#include "base/logging.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

namespace pb = internal::v1;

constexpr absl::Duration kPoll = absl::Milliseconds(50);
constexpr int kConnectAttempts = 3;
// After a step failed, whoever is really gone has this long to be noticed.
constexpr absl::Duration kJudgement = absl::Milliseconds(300);
constexpr absl::Duration kAbortTimeout = absl::Seconds(2);
constexpr absl::Duration kShutdownTimeout = absl::Seconds(5);

std::string Names(const std::vector<WorkerView>& workers) {
  return absl::StrJoin(workers, ", ",
                       [](std::string* out, const WorkerView& worker) {
                         out->append(worker.hello.worker_name());
                       });
}

int NumRanks(const std::vector<WorkerView>& workers) {
  int total = 0;
  for (const WorkerView& worker : workers) total += worker.hello.devices_size();
  return total;
}

}  // namespace

GroupLife::GroupLife(WorkerGroup* group)
    : group_(*group),
      options_(group->options_),
      registry_(group->registry_),
      loop_(*group->loop_),
      members_(&registry_, options_.worker_timeout),
      control_(options_.epoch, &registry_, &members_, &loop_,
               [group] { return group->StopGrace().has_value(); }) {}

absl::Status GroupLife::Run() {
  absl::Status status = Form();
  if (status.ok()) {
    spdlog::info("ready, epoch {}", options_.epoch);
    group_.SetReady();
    status = Supervise();
  } else if (group_.StopGrace()) {
    status = absl::OkStatus();  // stopped while forming
  }
  End(status);
  return status;
}

absl::Status GroupLife::Form() {
  RETURN_IF_ERROR(WaitForWorkers());
  loop_.SetState(EnginePhase::kLoading, "planning shards");
  RETURN_IF_ERROR(PlanShards());
  loop_.SetState(EnginePhase::kLoading, "loading weights");
  RETURN_IF_ERROR(LoadShards());
  loop_.SetState(EnginePhase::kLoading, "connecting ranks");
  RETURN_IF_ERROR(Connect());
  RETURN_IF_ERROR(
      control_
          .Command("AllocateKvCache", options_.load_timeout,
                   [this](const GroupMember&, pb::Command* command) {
                     command->mutable_allocate_kv_cache()->set_num_blocks(
                         num_blocks_);
                   })
          .status());
  loop_.SetState(EnginePhase::kLoading, "warming up");
  RETURN_IF_ERROR(control_
                      .Command("Warmup", options_.warmup_timeout,
                               [](const GroupMember&, pb::Command* command) {
                                 command->mutable_warmup();
                               })
                      .status());
  return StartLoop();
}

absl::Status GroupLife::WaitForWorkers() {
  const SteadyTime deadline = SteadyTime::Now() + options_.attach_timeout;
  std::string told;
  while (true) {
    std::vector<WorkerView> workers = registry_.Workers();
    if (IsComplete(workers)) {
      registry_.CloseDoor("its group is formed already");
      members_.Set(PlaceRanks(options_.layout, workers));
      for (const GroupMember& member : members_.all())
        registry_.SetRanks(member.key, RanksOf(member));
      return absl::OkStatus();
    }
    const std::string missing = WhoIsMissing(workers);
    if (missing != told) {
      spdlog::info("{}", missing);
      loop_.SetState(EnginePhase::kStarting, missing);
    }
    told = missing;
    if (group_.StopGrace()) return absl::CancelledError("stopped");
    if (SteadyTime::Now() >= deadline)
      return absl::DeadlineExceededError(missing);
    registry_.NextEvent(kPoll);
  }
}

bool GroupLife::IsComplete(const std::vector<WorkerView>& workers) const {
  for (const WorkerView& worker : workers)
    if (!worker.has_plan_stream || !worker.has_beat_stream) return false;
  if (!options_.workers.empty() && workers.size() != options_.workers.size())
    return false;
  return NumRanks(workers) == options_.layout.num_ranks();
}

std::string GroupLife::WhoIsMissing(
    const std::vector<WorkerView>& workers) const {
  return absl::StrCat("waiting for workers: ", NumRanks(workers), " of ",
                      options_.layout.num_ranks(), " ranks attached",
                      workers.empty() ? "" : ": ", Names(workers));
}

absl::Status GroupLife::PlanShards() {
  ASSIGN_OR_RETURN(
      const std::vector<pb::Reply> replies,
      control_.Command("PlanShard", options_.plan_timeout,
                       [this](const GroupMember& member, pb::Command* command) {
                         pb::PlanShard* plan = command->mutable_plan_shard();
                         *plan->mutable_config() = ConfigFor(member);
                         for (const pb::RankPlace& place : member.places)
                           *plan->add_places() = place;
                       }));
  const int num_ranks = options_.layout.num_ranks();
  ASSIGN_OR_RETURN(const std::vector<RankBudget> budgets,
                   CollectBudgets(members_.all(), replies, num_ranks));
  const StepLoop::Options& loop = group_.loop_options_;
  ASSIGN_OR_RETURN(
      num_blocks_,
      ChooseNumBlocks(budgets, loop.block_size, loop.scheduler.max_model_len,
                      loop.scheduler.max_num_seqs, options_.max_num_blocks));
  LogPlan(budgets);
  return absl::OkStatus();
}

void GroupLife::LogPlan(const std::vector<RankBudget>& budgets) const {
  for (const GroupMember& member : members_.all())
    spdlog::info("{}: {}", Describe(member),
                 member.hello.devices(0).description());
  spdlog::info("layout {}", Describe(options_.layout));
  for (const std::string& line : FormatBudgets(budgets, num_blocks_))
    spdlog::info("{}", line);
  const int block_size = group_.loop_options_.block_size;
  const int max_model_len = group_.loop_options_.scheduler.max_model_len;
  const int64_t tokens = int64_t{num_blocks_} * block_size;
  spdlog::info(
      "kv cache {} blocks of {} tokens = {} tokens = {:.1f} sequences of {}",
      num_blocks_, block_size, tokens,
      static_cast<double>(tokens) / max_model_len, max_model_len);
}

pb::EngineConfig GroupLife::ConfigFor(const GroupMember& member) const {
  const StepLoop::Options& loop = group_.loop_options_;
  pb::EngineConfig config;
  *config.mutable_layout() = EncodeLayout(options_.layout);
  config.set_block_size(loop.block_size);
  config.set_max_num_seqs(loop.scheduler.max_num_seqs);
  config.set_max_num_batched_tokens(loop.scheduler.max_num_batched_tokens);
  config.set_max_model_len(loop.scheduler.max_model_len);
  config.set_kv_cache_dtype(options_.kv_cache_dtype);
  config.set_activations(options_.activations);
  config.set_backend(options_.backend);
  config.set_isa(options_.isa);
  config.set_num_micro_batches(loop.scheduler.num_micro_batches);
  config.set_plans_in_flight(loop.plans_in_flight > 0
                                 ? loop.plans_in_flight
                                 : loop.scheduler.num_micro_batches + 1);
  int ranks_on_host = 0;
  for (const GroupMember& other : members_.all())
    if (other.hello.host() == member.hello.host())
      ranks_on_host += static_cast<int>(other.places.size());
  config.set_ranks_on_host(ranks_on_host);
  config.set_threads(options_.threads);
  config.set_num_token_ids(static_cast<uint32_t>(options_.num_token_ids));
  config.set_step_timeout_ms(absl::ToInt64Milliseconds(options_.step_timeout));
  return config;
}

absl::Status GroupLife::LoadShards() {
  ASSIGN_OR_RETURN(
      const std::vector<pb::Reply> replies,
      control_.Command("LoadShard", options_.load_timeout,
                       [](const GroupMember&, pb::Command* command) {
                         command->mutable_load_shard();
                       }));
  for (const pb::Reply& reply : replies) {
    for (const pb::ShardReport& shard : reply.shards())
      spdlog::info("rank {} loaded {} in {:.1f} s", shard.rank(),
                   FormatByteSize(shard.weights_bytes()), shard.seconds());
  }
  return absl::OkStatus();
}

// A stray connection can spoil the forming of a group, so it is tried again
// under fresh keys.
absl::Status GroupLife::Connect() {
  absl::Status status;
  for (int attempt = 1; attempt <= kConnectAttempts; ++attempt) {
    status = ConnectOnce(attempt);
    if (status.ok() || group_.StopGrace()) return status;
    if (!members_.AllAttached()) return status;  // lost, not unlucky
    spdlog::warn("connecting the ranks, attempt {} of {}: {}", attempt,
                 kConnectAttempts, std::string(status.message()));
  }
  return status;
}

absl::Status GroupLife::ConnectOnce(int attempt) {
  const absl::Duration timeout = options_.connect_timeout;
  const auto build = [&](const GroupMember&, pb::Command* command) {
    pb::InitCommunicators* init = command->mutable_init_communicators();
    init->set_prefix(absl::StrCat(options_.epoch, "/", attempt));
    init->set_timeout_ms(absl::ToInt64Milliseconds(timeout));
    for (size_t process = 0; process < members_.all().size(); ++process) {
      for (const pb::RankPlace& place : members_.all()[process].places) {
        *init->add_all_places() = place;
        init->add_processes(static_cast<uint32_t>(process));
      }
    }
  };
  return control_
      .Command("InitCommunicators", timeout + absl::Seconds(5), build,
               /*patient=*/true)
      .status();
}

absl::Status GroupLife::StartLoop() {
  StepLoop::GroupPlan plan = {.epoch = options_.epoch,
                              .num_blocks = num_blocks_};
  const Layout& layout = options_.layout;
  for (int rank = 0; rank < layout.num_ranks(); ++rank)
    plan.stage_of_rank.push_back(layout.StageOf(rank));
  plan.sampling_rank = layout.FirstRankOf(layout.pp_size() - 1);
  return loop_.Start(plan, &group_);
}

absl::Status GroupLife::Supervise() {
  absl::Status status;
  std::atomic<bool> drained = false;
  std::jthread drainer;
  while (status.ok() && !drained) {
    status = control_.Poll().status();
    const std::optional<StepFailure> failure = group_.TakeFailure();
    if (failure && status.ok()) status = Judge(*failure);
    const std::optional<absl::Duration> grace = group_.StopGrace();
    if (!grace || drainer.joinable()) continue;
    drainer = std::jthread([this, grace, &drained] {
      loop_.Drain(*grace);
      drained = true;
    });
  }
  if (!status.ok()) loop_.Fail(status);  // ends the draining too
  // Workers that were stopped together with us are no incident.
  return control_.workers_leave() ? absl::OkStatus() : status;
}

// A rank that reports a failed step is often only the first to notice that a
// peer has died: a loss explains more.
absl::Status GroupLife::Judge(const StepFailure& failure) {
  const SteadyTime deadline = SteadyTime::Now() + kJudgement;
  while (SteadyTime::Now() < deadline)
    RETURN_IF_ERROR(control_.Poll().status());
  return Blame(failure);
}

absl::Status GroupLife::Blame(const StepFailure& failure) const {
  const std::string why(failure.status.message());
  if (const GroupMember* member = members_.FindRank(failure.rank))
    return LostStatus(*member, absl::StrCat("rank ", failure.rank, ": ", why));
  return LostStatus(members_.Slowest(), why);
}

void GroupLife::End(const absl::Status& status) {
  registry_.CloseDoor("its group has ended");
  const std::string reason =
      status.ok() ? "the coordinator stops" : std::string(status.message());
  if (status.ok()) {
    loop_.Drain(absl::ZeroDuration());
  } else {
    spdlog::error("{}", reason);
    loop_.Fail(status);
    control_.Tell(kAbortTimeout, [&](const GroupMember&, pb::Command* command) {
      command->mutable_abort_communicators()->set_reason(reason);
    });
  }
  group_.store_.Abort(absl::AbortedError("the epoch is over"));
  control_.Tell(kShutdownTimeout,
                [&](const GroupMember&, pb::Command* command) {
                  command->mutable_shutdown()->set_reason(reason);
                });
  registry_.CloseAll(grpc::Status(grpc::StatusCode::UNAVAILABLE, reason));
}

}  // namespace quatrain
