#include "worker/rank_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "spdlog/spdlog.h"
#include "worker/process_memory.h"
#include "worker/rank_factory.h"
#include "worker/rank_threads.h"

namespace quatrain {
namespace {

internal::v1::ShardPlanReport ReportOf(const MemoryPlan& plan) {
  internal::v1::ShardPlanReport report;
  report.set_rank(static_cast<uint32_t>(plan.rank));
  report.set_limit_bytes(plan.limit_bytes);
  for (const MemoryPlan::Term& from : plan.terms) {
    internal::v1::MemoryTerm* term = report.add_terms();
    term->set_name(from.name);
    term->set_bytes(from.bytes);
  }
  report.set_kv_bytes_per_block(plan.kv_bytes_per_block());
  report.set_num_blocks(plan.num_blocks());
  return report;
}

absl::StatusOr<GroupLayout> ReadPlaces(
    const internal::v1::InitCommunicators& command) {
  GroupLayout layout;
  for (int i = 0; i < command.all_places_size(); ++i) {
    const internal::v1::RankPlace& place = command.all_places(i);
    if (static_cast<int>(place.rank()) != i || i >= command.processes_size())
      return absl::InvalidArgumentError(
          absl::StrCat("places: entry ", i, " is rank ", place.rank(),
                       ", expected all ranks in order, each with a process"));
    layout.places.push_back(
        {.stage = static_cast<int>(place.stage()),
         .tp_rank = static_cast<int>(place.tp_rank()),
         .process = static_cast<int>(command.processes(i))});
  }
  if (!layout.IsOrdered())
    return absl::InvalidArgumentError("places: ranks are not in order");
  return layout;
}

absl::Status NotYet(const char* command, const char* needed) {
  return absl::FailedPreconditionError(
      absl::StrCat(command, " came before ", needed));
}

}  // namespace

RankPool::RankPool(const Model& model, const WorkerOptions& options,
                   std::vector<DeviceLimit> devices, KeyValueStore* store)
    : model_(model),
      options_(options),
      devices_(std::move(devices)),
      store_(store) {}

RankPool::~RankPool() {
  Abort(absl::CancelledError("the worker stops"));
  LeaveEpoch();
}

absl::Status RankPool::CheckPlaces(const internal::v1::PlanShard& command,
                                   const Layout& layout) const {
  std::set<uint32_t> devices;
  for (const internal::v1::RankPlace& place : command.places()) {
    if (place.rank() >= static_cast<uint32_t>(layout.num_ranks()))
      return absl::InvalidArgumentError(
          absl::StrCat("rank ", place.rank(), ", the layout has ",
                       layout.num_ranks(), " ranks"));
    if (place.device() >= devices_.size() ||
        !devices.insert(place.device()).second)
      return absl::InvalidArgumentError(absl::StrCat(
          "rank ", place.rank(), " on device ", place.device(),
          ", expected one of its own in 0..", devices_.size() - 1));
  }
  return absl::OkStatus();
}

EngineSettings RankPool::WithOwnOptions(EngineSettings settings) const {
  if (!options_.backend.empty()) settings.backend = options_.backend;
  if (!options_.isa.empty()) settings.isa = options_.isa;
  if (options_.threads > 0) settings.threads = options_.threads;
  return settings;
}

absl::Status RankPool::PlanRanks(const internal::v1::PlanShard& command) {
  const MemoryBudget budget =
      BudgetOf(devices_, AvailableBytes(), settings_.ranks_on_host);
  if (!budget.warning.empty()) spdlog::warn("{}", budget.warning);
  const int64_t held = AnonymousBytes() / std::max(1, command.places_size());
  const CommunicatorOptions comm =
      CommunicatorOptionsOf(model_.config, settings_);
  for (const internal::v1::RankPlace& place : command.places()) {
    const int rank = static_cast<int>(place.rank());
    const int ordinal = devices_[place.device()].ordinal;
    ASSIGN_OR_RETURN(
        std::unique_ptr<Rank> planned,
        Rank::Plan(model_, settings_,
                   {.rank = rank,
                    .device = absl::StrCat(options_.name, "/", ordinal),
                    .limit_bytes = budget.limits[place.device()],
                    .process_bytes = held,
                    .comm_bytes =
                        MostCommunicatorBytes(settings_.layout, rank, comm)}));
    ranks_.push_back(std::move(planned));
  }
  return absl::OkStatus();
}

absl::Status RankPool::PlanShard(const internal::v1::PlanShard& command,
                                 internal::v1::Reply* reply) {
  const std::string bytes = command.SerializeAsString();
  if (bytes != planned_ || ranks_.empty()) {
    LeaveEpoch();
    ranks_.clear();
    loaded_ = false;
    planned_.clear();
    ASSIGN_OR_RETURN(EngineSettings settings,
                     ReadEngineConfig(command.config()));
    settings_ = WithOwnOptions(std::move(settings));
    RETURN_IF_ERROR(CheckBackend(settings_));
    RETURN_IF_ERROR(CheckLayout(settings_.layout, model_.config.num_layers));
    RETURN_IF_ERROR(CheckPlaces(command, settings_.layout));
    RETURN_IF_ERROR(PlanRanks(command));
    planned_ = bytes;
  }
  absl::Status status;
  for (const std::unique_ptr<Rank>& rank : ranks_) {
    const MemoryPlan& plan = rank->memory_plan();
    spdlog::info("{}", plan.Row());
    *reply->add_shard_plans() = ReportOf(plan);
    if (status.ok() && !plan.fits())
      status = absl::ResourceExhaustedError(plan.Refusal());
  }
  return status;
}

absl::Status RankPool::LoadShard(const OnProgress& progress,
                                 const std::function<bool()>& cancelled,
                                 internal::v1::Reply* reply) {
  if (ranks_.empty()) return NotYet("LoadShard", "PlanShard");
  const auto start = std::chrono::steady_clock::now();
  if (!loaded_) {
    RETURN_IF_ERROR(ForEachRank(ranks_, [&](Rank& rank) {
      const int64_t total = rank.stored_bytes();
      return rank.Load(
          {.progress =
               [&, total](int64_t done) { progress(rank.rank(), done, total); },
           .cancelled = cancelled});
    }));
    loaded_ = true;
  }
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - start;
  for (const std::unique_ptr<Rank>& rank : ranks_) {
    internal::v1::ShardReport* report = reply->add_shards();
    report->set_rank(static_cast<uint32_t>(rank->rank()));
    report->set_weights_bytes(rank->weights_bytes());
    report->set_seconds(seconds.count());
    spdlog::info("rank {}: loaded {} bytes in {:.2f} s, {}", rank->rank(),
                 rank->weights_bytes(), seconds.count(),
                 rank->backend().Description());
  }
  return absl::OkStatus();
}

absl::Status RankPool::InitCommunicators(
    const internal::v1::InitCommunicators& command,
    const std::string& data_host) {
  if (!loaded_) return NotYet("InitCommunicators", "LoadShard");
  LeaveEpoch();
  ASSIGN_OR_RETURN(const GroupLayout layout, ReadPlaces(command));
  {
    MutexLock lock(&mutex_);
    prefix_ = command.prefix();
  }
  CommunicatorOptions options = CommunicatorOptionsOf(model_.config, settings_);
  options.data_host = data_host;
  options.share_memory = options_.share_memory;
  if (command.timeout_ms() > 0)
    options.form_timeout = std::chrono::milliseconds(command.timeout_ms());
  return ForEachRank(ranks_, [&](Rank& rank) {
    return rank.Connect(layout, &hub_, store_, command.prefix(), options);
  });
}

absl::Status RankPool::AllocateKvCache(int64_t num_blocks, uint64_t epoch,
                                       RankEngine::OnResult on_result) {
  if (!loaded_) return NotYet("AllocateKvCache", "LoadShard");
  for (const std::unique_ptr<Rank>& rank : ranks_) {
    if (num_blocks < 1 || num_blocks > rank->memory_plan().num_blocks())
      return absl::ResourceExhaustedError(absl::StrCat(
          "rank ", rank->rank(), ": ", num_blocks, " KV blocks, its plan has ",
          rank->memory_plan().num_blocks()));
    if (!rank->connected())
      return NotYet("AllocateKvCache", "InitCommunicators");
    RETURN_IF_ERROR(rank->AllocateKvCache(static_cast<int>(num_blocks)));
  }
  for (const std::unique_ptr<Rank>& rank : ranks_)
    rank->Start(epoch, on_result);
  MutexLock lock(&mutex_);
  running_epoch_ = epoch;
  return absl::OkStatus();
}

absl::Status RankPool::Warmup() {
  for (const std::unique_ptr<Rank>& rank : ranks_)
    if (!rank->started()) return NotYet("Warmup", "AllocateKvCache");
  return ForEachRank(ranks_, [](Rank& rank) { return rank.Warmup(); });
}

void RankPool::LeaveEpoch() {
  {
    MutexLock lock(&mutex_);
    running_epoch_ = 0;
    prefix_.clear();
  }
  for (const std::unique_ptr<Rank>& rank : ranks_) rank->Stop();
}

void RankPool::Abort(const absl::Status& reason) {
  std::string prefix;
  {
    MutexLock lock(&mutex_);
    running_epoch_ = 0;
    prefix = prefix_;
  }
  if (!prefix.empty()) hub_.Abort(prefix, reason);
}

absl::Status RankPool::OnPlan(std::string bytes) {
  ASSIGN_OR_RETURN(ReceivedPlan received, ParsePlan(std::move(bytes)));
  const auto plan = std::make_shared<const ReceivedPlan>(std::move(received));
  MutexLock lock(&mutex_);
  // A plan of an epoch that is over here changes nothing.
  if (plan->plan.epoch() != running_epoch_) return absl::OkStatus();
  for (const std::unique_ptr<Rank>& rank : ranks_)
    if (!rank->Submit(plan))
      return absl::ResourceExhaustedError(
          absl::StrCat("rank ", rank->rank(), ": too many plans in flight"));
  return absl::OkStatus();
}

uint64_t RankPool::last_step() const {
  MutexLock lock(&mutex_);
  if (running_epoch_ == 0) return 0;
  uint64_t last = UINT64_MAX;
  for (const std::unique_ptr<Rank>& rank : ranks_)
    last = std::min(last, rank->last_step());
  return last;
}

}  // namespace quatrain
