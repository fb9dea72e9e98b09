#include "worker/local_group.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "worker/rank_threads.h"

namespace quatrain {
namespace {

constexpr uint64_t kEpoch = 1;

// More than can be in flight at a time.
constexpr size_t kMaxResults = 4096;

EngineSettings WithDefaults(EngineSettings settings,
                            const ModelConfig& config) {
  if (settings.layout.stages.empty())
    settings.layout.stages = {{{0, config.num_layers}, {1}}};
  if (settings.max_model_len == 0)
    settings.max_model_len = config.max_model_len;
  settings.ranks_on_host = settings.layout.num_ranks();
  return settings;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalGroup>> LocalGroup::Start(
    const std::string& model_folder, EngineSettings settings, int num_blocks) {
  ASSIGN_OR_RETURN(Model model, OpenModel(model_folder));
  settings = WithDefaults(std::move(settings), model.config);
  RETURN_IF_ERROR(CheckLayout(settings.layout, model.config.num_layers));
  if (num_blocks == 0)
    num_blocks = settings.max_num_seqs * settings.max_blocks();
  std::unique_ptr<LocalGroup> group(
      new LocalGroup(std::move(model), std::move(settings), num_blocks));
  RETURN_IF_ERROR(group->PlanRanks());
  RETURN_IF_ERROR(group->StartRanks());
  return group;
}

LocalGroup::LocalGroup(Model model, EngineSettings settings, int num_blocks)
    : model_(std::move(model)),
      settings_(std::move(settings)),
      num_blocks_(num_blocks),
      results_(kMaxResults) {}

LocalGroup::~LocalGroup() {
  results_.Close();
  for (const std::unique_ptr<Rank>& rank : ranks_) rank->Stop();
}

absl::Status LocalGroup::PlanRanks() {
  for (int rank = 0; rank < settings_.layout.num_ranks(); ++rank) {
    ASSIGN_OR_RETURN(
        std::unique_ptr<Rank> planned,
        Rank::Plan(model_, settings_,
                   {.rank = rank, .device = absl::StrCat("local/", rank)}));
    ranks_.push_back(std::move(planned));
  }
  return absl::OkStatus();
}

absl::Status LocalGroup::StartRanks() {
  const GroupLayout places = PlacesOf(
      settings_.layout, std::vector<int>(settings_.layout.num_ranks(), 0));
  const CommunicatorOptions options =
      CommunicatorOptionsOf(model_.config, settings_);
  RETURN_IF_ERROR(ForEachRank(ranks_, [&](Rank& rank) -> absl::Status {
    RETURN_IF_ERROR(rank.Load({}));
    return rank.AllocateKvCache(num_blocks_);
  }));
  RETURN_IF_ERROR(ForEachRank(ranks_, [&](Rank& rank) {
    return rank.Connect(places, &hub_, &store_, "local", options);
  }));
  for (const std::unique_ptr<Rank>& rank : ranks_)
    rank->Start(kEpoch, [this](const internal::v1::StepResult& result) {
      OnResult(result);
    });
  return ForEachRank(ranks_, [](Rank& rank) { return rank.Warmup(); });
}

void LocalGroup::OnResult(const internal::v1::StepResult& result) {
  const bool from_sampling_rank =
      static_cast<int>(result.rank()) ==
      settings_.layout.FirstRankOf(settings_.layout.pp_size() - 1);
  if (from_sampling_rank || result.has_fault()) results_.Push(result);
}

absl::StatusOr<uint64_t> LocalGroup::Submit(internal::v1::StepPlan plan) {
  plan.set_epoch(kEpoch);
  plan.set_step_id(next_step_++);
  ASSIGN_OR_RETURN(ReceivedPlan received, ParsePlan(plan.SerializeAsString()));
  const auto shared = std::make_shared<const ReceivedPlan>(std::move(received));
  for (const std::unique_ptr<Rank>& rank : ranks_)
    if (!rank->Submit(shared))
      return absl::ResourceExhaustedError("too many plans in flight");
  return plan.step_id();
}

absl::StatusOr<internal::v1::StepResult> LocalGroup::NextResult() {
  std::optional<internal::v1::StepResult> result = results_.Pop();
  if (!result) return absl::CancelledError("the group stops");
  if (result->has_fault())
    return absl::Status(
        static_cast<absl::StatusCode>(result->fault().code()),
        absl::StrCat("rank ", result->rank(), ": ", result->fault().message()));
  return *std::move(result);
}

absl::StatusOr<internal::v1::StepResult> LocalGroup::RunPlan(
    const internal::v1::StepPlan& plan) {
  RETURN_IF_ERROR(Submit(plan).status());
  return NextResult();
}

}  // namespace quatrain
