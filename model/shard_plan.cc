#include "model/shard_plan.h"

#include <algorithm>

#include "base/check.h"
#include "model/architecture.h"
#include "model/k_blocks.h"

namespace quatrain {
namespace {

// Part `index` of consecutive parts of the given sizes.
Range PartOf(const std::vector<int>& sizes, int index) {
  int begin = 0;
  for (int i = 0; i < index; ++i) begin += sizes[i];
  return {begin, begin + sizes[index]};
}

Range CutVocabulary(int vocab_size, const Stage& stage, int tp_rank) {
  const int tiles = (vocab_size + kVocabTile - 1) / kVocabTile;
  const Range part = PartOf(Apportion(tiles, stage.shares), tp_rank);
  return {std::min(part.begin * kVocabTile, vocab_size),
          std::min(part.end * kVocabTile, vocab_size)};
}

Range CutMlp(const ModelConfig& config, const Stage& stage, int tp_rank) {
  const std::vector<int> cuts = MlpCuts(config);
  const int blocks = static_cast<int>(cuts.size()) - 1;
  const Range part = PartOf(Apportion(blocks, stage.shares), tp_rank);
  return {cuts[part.begin], cuts[part.end]};
}

// Heads, and which of the rank's query heads read which of its KV heads.
void CutAttention(const ModelConfig& config, const Stage& stage,
                  RankShard* shard) {
  const int per_kv = config.num_q_heads / config.num_kv_heads;
  const Range q =
      PartOf(Apportion(config.num_q_heads, stage.shares), shard->tp_rank);
  shard->q_heads = q;
  if (q.empty()) {
    shard->kv_heads = {q.begin / per_kv, q.begin / per_kv};
    return;
  }
  shard->kv_heads = {q.begin / per_kv, (q.end - 1) / per_kv + 1};
  for (int kv = shard->kv_heads.begin; kv < shard->kv_heads.end; ++kv) {
    const int first = std::max(q.begin, kv * per_kv);
    const int last = std::min(q.end, (kv + 1) * per_kv);
    shard->attention.push_back({.kv_head = kv - shard->kv_heads.begin,
                                .first_query_head = first - q.begin,
                                .count = last - first});
  }
}

RankShard PlanShard(const ModelConfig& config, const Layout& layout, int rank) {
  RankShard shard;
  shard.rank = rank;
  shard.stage = layout.StageOf(rank);
  shard.tp_rank = layout.TpRankOf(rank);
  const Stage& stage = layout.stages[shard.stage];
  shard.tp_size = stage.tp_size();
  shard.first_stage = shard.stage == 0;
  shard.last_stage = shard.stage + 1 == layout.pp_size();
  shard.layers = stage.layers;
  CutAttention(config, stage, &shard);
  shard.intermediate = CutMlp(config, stage, shard.tp_rank);
  const Range vocabulary =
      CutVocabulary(config.vocab_size, stage, shard.tp_rank);
  if (shard.first_stage) shard.embedding = vocabulary;
  if (shard.last_stage) shard.lm_head = vocabulary;
  shard.lm_head_is_embedding =
      config.tie_word_embeddings && shard.first_stage && shard.last_stage;
  return shard;
}

Range Times(Range range, int factor) {
  return {range.begin * factor, range.end * factor};
}

// Collects the slices of one rank, leaving out empty ones.
class Slices {
 public:
  Slices(const ModelConfig& config, const RankShard& shard)
      : c_(config), s_(shard), a_(ArchitectureOf(config.architecture)) {}

  std::vector<TensorSlice> Collect() {
    if (s_.first_stage) Table(a_.embedding, s_.embedding);
    for (int layer = s_.layers.begin; layer < s_.layers.end; ++layer) {
      Attention(layer);
      Mlp(layer);
    }
    if (s_.last_stage) Head();
    return std::move(slices_);
  }

 private:
  void Attention(int layer) {
    const Range q = Times(s_.q_heads, c_.head_dim);
    const Range kv = Times(s_.kv_heads, c_.head_dim);
    Norm(ModuleName(a_.layernorm[0], layer));
    Columns(ModuleName(a_.attention[0], layer), c_.q_size(), q, c_.qkv_bias);
    Columns(ModuleName(a_.attention[1], layer), c_.kv_size(), kv, c_.qkv_bias);
    Columns(ModuleName(a_.attention[2], layer), c_.kv_size(), kv, c_.qkv_bias);
    Rows(ModuleName(a_.attention[3], layer), c_.q_size(), q, c_.o_bias,
         c_.head_dim);
  }

  void Mlp(int layer) {
    const Range cut = s_.intermediate;
    const int size = c_.intermediate_size;
    Norm(ModuleName(a_.layernorm[1], layer));
    Columns(ModuleName(a_.mlp[0], layer), size, cut, c_.mlp_bias);
    Columns(ModuleName(a_.mlp[1], layer), size, cut, c_.mlp_bias);
    Rows(ModuleName(a_.mlp[2], layer), size, cut, c_.mlp_bias, 0);
  }

  void Head() {
    Norm(a_.final_norm);
    if (s_.lm_head_is_embedding) return;
    if (c_.tie_word_embeddings) {
      Table(a_.embedding, s_.lm_head);
    } else {
      Columns(a_.lm_head, c_.vocab_size, s_.lm_head, /*bias=*/false);
    }
  }

  // Column-parallel: outputs are cut, the bias with them.
  void Columns(const std::string& name, int n, Range cut, bool bias) {
    Add({name,
         TensorSlice::kLinear,
         cut,
         {0, c_.hidden_size},
         n,
         c_.hidden_size,
         0});
    if (bias) Add({name, TensorSlice::kBias, cut, {0, 1}, n, 1, 0});
  }
  // Row-parallel: inputs are cut; the bias is added once, after the sum.
  void Rows(const std::string& name, int k, Range cut, bool bias,
            int head_dim) {
    const int n = c_.hidden_size;
    Add({name, TensorSlice::kLinear, {0, n}, cut, n, k, head_dim});
    if (bias) Add({name, TensorSlice::kBias, {0, n}, {0, 1}, n, 1, 0});
  }
  void Table(const std::string& name, Range cut) {
    Add({name,
         TensorSlice::kTable,
         cut,
         {0, c_.hidden_size},
         c_.vocab_size,
         c_.hidden_size,
         0});
  }
  void Norm(const std::string& name) {
    const int n = c_.hidden_size;
    Add({name, TensorSlice::kVector, {0, n}, {0, 1}, n, 1, 0});
  }
  void Add(TensorSlice slice) {
    if (!slice.rows.empty() && !slice.columns.empty())
      slices_.push_back(std::move(slice));
  }

  const ModelConfig& c_;
  const RankShard& s_;
  const Architecture& a_;
  std::vector<TensorSlice> slices_;
};

}  // namespace

std::vector<RankShard> PlanShards(const ModelConfig& config,
                                  const Layout& layout) {
  CHECK(CheckLayout(layout, config.num_layers).ok()) << Describe(layout);
  std::vector<RankShard> shards;
  for (int rank = 0; rank < layout.num_ranks(); ++rank)
    shards.push_back(PlanShard(config, layout, rank));
  return shards;
}

std::vector<TensorSlice> SlicesOf(const ModelConfig& config,
                                  const RankShard& shard) {
  return Slices(config, shard).Collect();
}

std::vector<int> MlpCuts(const ModelConfig& config) {
  std::vector<int> cuts =
      KBlockEnds(config.intermediate_size, config.mlp_group_size, 0);
  cuts.insert(cuts.begin(), 0);
  return cuts;
}

}  // namespace quatrain
