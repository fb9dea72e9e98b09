#include "worker/rank.h"

#include <numeric>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "model/shard_plan.h"

namespace quatrain {
namespace {

// The shards of the stage in which `rank` is, by tensor rank.
std::vector<RankShard> StageOf(const std::vector<RankShard>& shards, int rank) {
  std::vector<RankShard> stage;
  for (const RankShard& shard : shards)
    if (shard.stage == shards[rank].stage) stage.push_back(shard);
  return stage;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Rank>> Rank::Plan(const Model& model,
                                                 const EngineSettings& settings,
                                                 const Inputs& inputs) {
  std::unique_ptr<Rank> rank(new Rank(model, settings));
  const std::vector<RankShard> shards =
      PlanShards(model.config, settings.layout);
  rank->vocab_ = StageVocab::Of(model.config, StageOf(shards, inputs.rank));
  rank->vocab_.head.num_token_ids = settings.num_token_ids;
  ASSIGN_OR_RETURN(rank->sources_, OpenShard(model, shards[inputs.rank]));
  rank->plan_ = PlanMemory(model.config, rank->sources_, settings,
                           {.rank = inputs.rank,
                            .device = inputs.device,
                            .limit_bytes = inputs.limit_bytes,
                            .process_bytes = inputs.process_bytes,
                            .comm_bytes = inputs.comm_bytes});
  return rank;
}

absl::Status Rank::Load(const LoadWatch& watch) {
  // What a load before this one left belongs to the old backend's memory.
  weights_.reset();
  buffers_.reset();
  const ActivationShape shape = ActivationShape::Of(
      model_.config, sources_.shard, settings_.max_num_batched_tokens);
  ASSIGN_OR_RETURN(backend_,
                   MakeBackend(settings_, shape, plan_.device_bytes()));
  ASSIGN_OR_RETURN(buffers_,
                   AllocateActivationBuffers(shape, backend_->memory()));
  absl::StatusOr<ModelShard> weights = LoadShard(sources_, *backend_, watch);
  // What a tensor holds is no argument of anybody: the file is damaged.
  if (absl::IsInvalidArgument(weights.status()))
    return absl::DataLossError(weights.status().message());
  ASSIGN_OR_RETURN(weights_, std::move(weights));
  return absl::OkStatus();
}

int64_t Rank::weights_bytes() const {
  return backend_->memory().used_bytes_by_tag()["weights"];
}

int64_t Rank::step_weights_bytes() const {
  int64_t bytes = weights_bytes();
  for (const LinearSources& table : sources_.embedding) {
    if (table.role == LinearRole::kEmbed)
      bytes -= table.packed_bytes(RecordKind::kCpu);
  }
  return bytes;
}

absl::Status Rank::Connect(const GroupLayout& layout, ProcessHub* hub,
                           KeyValueStore* store, const std::string& prefix,
                           const CommunicatorOptions& options) {
  Stop();
  ASSIGN_OR_RETURN(communicators_, FormCommunicators(layout, rank(), hub, store,
                                                     prefix, options));
  return absl::OkStatus();
}

absl::Status Rank::AllocateKvCache(int num_blocks) {
  kv_cache_.reset();
  ASSIGN_OR_RETURN(kv_cache_,
                   KvCache::Create(plan_.kv, num_blocks, settings_.block_size,
                                   backend_->memory()));
  return absl::OkStatus();
}

void Rank::Start(uint64_t epoch, RankEngine::OnResult on_result) {
  const RankShard& shard = sources_.shard;
  DecoderPeers peers{.group = communicators_->tensor_group.get(),
                     .from_previous = communicators_->from_previous.get()};
  for (const auto& link : communicators_->to_next)
    peers.to_next.push_back(link.get());
  decoder_.emplace(model_.config, *weights_, vocab_, *kv_cache_, *backend_,
                   *buffers_, std::move(peers));
  const RankEngine::Options options = {
      .rank = rank(),
      .first_stage = shard.first_stage,
      .samples = shard.last_stage && shard.tp_rank == 0,
      .limits = {.epoch = epoch,
                 .num_slots = settings_.max_num_seqs,
                 .num_blocks = kv_cache_->num_blocks(),
                 .block_size = settings_.block_size,
                 .max_tokens = settings_.max_num_batched_tokens,
                 .max_context = settings_.max_model_len,
                 .vocab_size = model_.config.vocab_size,
                 .num_micro_batches = settings_.num_micro_batches}};
  engine_ = std::make_unique<RankEngine>(options, &*decoder_, backend_.get(),
                                         &*buffers_, &*communicators_,
                                         std::move(on_result));
}

void Rank::Stop() {
  engine_.reset();
  decoder_.reset();
  communicators_.reset();
}

GroupLayout PlacesOf(const Layout& layout, const std::vector<int>& processes) {
  GroupLayout places;
  for (int rank = 0; rank < layout.num_ranks(); ++rank)
    places.places.push_back({.stage = layout.StageOf(rank),
                             .tp_rank = layout.TpRankOf(rank),
                             .process = processes[rank]});
  return places;
}

int64_t MostCommunicatorBytes(const Layout& layout, int rank,
                              const CommunicatorOptions& options) {
  std::vector<int> processes(layout.num_ranks());
  std::iota(processes.begin(), processes.end(), 0);
  return CommunicatorBytes(PlacesOf(layout, processes), rank, options);
}

CommunicatorOptions CommunicatorOptionsOf(const ModelConfig& config,
                                          const EngineSettings& settings) {
  CommunicatorOptions options;
  options.step_timeout = settings.step_timeout;
  options.hidden_size = config.hidden_size;
  options.max_tokens = settings.max_num_batched_tokens;
  options.max_num_seqs = settings.max_num_seqs;
  options.spin = settings.may_spin();
  return options;
}

}  // namespace quatrain
