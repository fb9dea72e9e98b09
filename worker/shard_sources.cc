#include "worker/shard_sources.h"

#include <string>
#include <utility>

#include "base/status_macros.h"
#include "kernels/record_size.h"
#include "model/architecture.h"

namespace quatrain {
namespace {

// Opens the slices of one rank; all names come from the architecture's row.
class ShardOpener {
 public:
  ShardOpener(const Model& model, const RankShard& shard)
      : model_(model),
        config_(model.config),
        arch_(ArchitectureOf(model.config.architecture)),
        shard_(shard) {}

  absl::StatusOr<LayerSources> Layer(int layer) const {
    LayerSources sources;
    ASSIGN_OR_RETURN(sources.qkv, Qkv(layer));
    ASSIGN_OR_RETURN(sources.o, O(layer));
    ASSIGN_OR_RETURN(sources.gate_up, GateUp(layer));
    ASSIGN_OR_RETURN(sources.down, Down(layer));
    ASSIGN_OR_RETURN(sources.input_norm,
                     NormOf(ModuleName(arch_.layernorm[0], layer)));
    ASSIGN_OR_RETURN(sources.post_attention_norm,
                     NormOf(ModuleName(arch_.layernorm[1], layer)));
    return sources;
  }

  absl::StatusOr<LinearSources> Vocabulary(const char* module, Range rows,
                                           LinearRole role) const {
    LinearSources sources{role, {}};
    RETURN_IF_ERROR(Add(module, config_.vocab_size, config_.hidden_size, false,
                        rows, {0, config_.hidden_size}, 0, &sources));
    return sources;
  }

  absl::StatusOr<Norm> NormOf(const std::string& module) const {
    Norm norm;
    ASSIGN_OR_RETURN(
        norm.weight,
        ReadVector(model_.checkpoint, module + ".weight", config_.hidden_size));
    norm.eps = static_cast<float>(config_.rms_norm_eps);
    return norm;
  }

  const Architecture& arch() const { return arch_; }

 private:
  absl::Status Add(const std::string& module, int n, int k, bool has_bias,
                   Range rows, Range columns, int head_dim,
                   LinearSources* sources) const {
    ASSIGN_OR_RETURN(LinearSlice slice,
                     OpenLinear(model_.checkpoint, module, n, k, has_bias, rows,
                                columns, head_dim));
    sources->parts.push_back(std::move(slice));
    return absl::OkStatus();
  }

  Range Elements(Range heads) const {
    return {heads.begin * config_.head_dim, heads.end * config_.head_dim};
  }

  absl::StatusOr<LinearSources> Qkv(int layer) const {
    LinearSources sources{LinearRole::kQkv, {}};
    const Range hidden = {0, config_.hidden_size};
    for (int i = 0; i < 3; ++i) {
      const Range heads = i == 0 ? shard_.q_heads : shard_.kv_heads;
      const int n = i == 0 ? config_.q_size() : config_.kv_size();
      RETURN_IF_ERROR(Add(ModuleName(arch_.attention[i], layer), n,
                          config_.hidden_size, config_.qkv_bias,
                          Elements(heads), hidden, 0, &sources));
    }
    return sources;
  }

  absl::StatusOr<LinearSources> O(int layer) const {
    LinearSources sources{LinearRole::kO, {}};
    RETURN_IF_ERROR(Add(ModuleName(arch_.attention[3], layer),
                        config_.hidden_size, config_.q_size(), config_.o_bias,
                        {0, config_.hidden_size}, Elements(shard_.q_heads),
                        config_.head_dim, &sources));
    return sources;
  }

  absl::StatusOr<LinearSources> GateUp(int layer) const {
    LinearSources sources{LinearRole::kGateUp, {}};
    for (int i = 0; i < 2; ++i)
      RETURN_IF_ERROR(Add(ModuleName(arch_.mlp[i], layer),
                          config_.intermediate_size, config_.hidden_size,
                          config_.mlp_bias, shard_.intermediate,
                          {0, config_.hidden_size}, 0, &sources));
    return sources;
  }

  absl::StatusOr<LinearSources> Down(int layer) const {
    LinearSources sources{LinearRole::kDown, {}};
    RETURN_IF_ERROR(Add(ModuleName(arch_.mlp[2], layer), config_.hidden_size,
                        config_.intermediate_size, config_.mlp_bias,
                        {0, config_.hidden_size}, shard_.intermediate, 0,
                        &sources));
    return sources;
  }

  const Model& model_;
  const ModelConfig& config_;
  const Architecture& arch_;
  const RankShard& shard_;
};

// Every linear of a rank, in the order of loading.
template <typename Visit>
void ForEachLinear(const ShardSources& sources, Visit visit) {
  for (const LinearSources& linear : sources.embedding) visit(linear);
  for (const LayerSources& layer : sources.layers) {
    visit(layer.qkv);
    visit(layer.o);
    visit(layer.gate_up);
    visit(layer.down);
  }
  for (const LinearSources& linear : sources.head) visit(linear);
}

int64_t VectorBytes(size_t elements) {
  return static_cast<int64_t>(elements * sizeof(float));
}

// A byte per value and per zero, and an f32 scale.
int64_t ReferenceInt4Bytes(const LinearSlice& part) {
  const int64_t rows = part.num_rows();
  return rows * part.num_cols() + rows * part.num_blocks() * 5;
}

}  // namespace

int LinearSources::rows() const {
  int rows = 0;
  for (const LinearSlice& part : parts) rows += part.num_rows();
  return rows;
}

int LinearSources::cols() const { return parts.front().num_cols(); }

int64_t LinearSources::stored_bytes() const {
  int64_t bytes = 0;
  for (const LinearSlice& part : parts) bytes += part.stored_bytes();
  return bytes;
}

int64_t LinearSources::packed_bytes(RecordKind kind) const {
  int64_t bytes = 0;
  for (const LinearSlice& part : parts) {
    if (!part.is_int4())
      bytes += DenseRecordBytes(part.num_rows(), part.num_cols(), part.dtype());
    else if (kind == RecordKind::kCpu)
      bytes +=
          Int4RecordBytes(part.num_rows(), part.block_ends(), part.dtype());
    else
      bytes += ReferenceInt4Bytes(part);
  }
  return bytes;
}

std::vector<float> LinearSources::StackedBias() const {
  std::vector<float> bias;
  for (const LinearSlice& part : parts) {
    const std::vector<float> more = part.Bias();
    bias.insert(bias.end(), more.begin(), more.end());
  }
  return bias;
}

int64_t ShardSources::stored_bytes() const {
  int64_t bytes = 0;
  ForEachLinear(*this, [&](const LinearSources& linear) {
    bytes += linear.stored_bytes();
  });
  return bytes;
}

int64_t ShardSources::packed_bytes(RecordKind kind) const {
  int64_t bytes = VectorBytes(final_norm.weight.size());
  for (const LayerSources& layer : layers)
    bytes += VectorBytes(layer.input_norm.weight.size() +
                         layer.post_attention_norm.weight.size());
  ForEachLinear(*this, [&](const LinearSources& linear) {
    bytes +=
        linear.packed_bytes(kind) + VectorBytes(linear.StackedBias().size());
  });
  return bytes;
}

absl::StatusOr<ShardSources> OpenShard(const Model& model,
                                       const RankShard& shard) {
  const ShardOpener opener(model, shard);
  ShardSources sources;
  sources.shard = shard;
  const bool tied = model.config.tie_word_embeddings;
  if (shard.first_stage) {
    ASSIGN_OR_RETURN(
        LinearSources table,
        opener.Vocabulary(opener.arch().embedding, shard.embedding,
                          shard.lm_head_is_embedding ? LinearRole::kHead
                                                     : LinearRole::kEmbed));
    sources.embedding.push_back(std::move(table));
  }
  for (int layer = shard.layers.begin; layer < shard.layers.end; ++layer) {
    ASSIGN_OR_RETURN(LayerSources layer_sources, opener.Layer(layer));
    sources.layers.push_back(std::move(layer_sources));
  }
  if (!shard.last_stage) return sources;
  ASSIGN_OR_RETURN(sources.final_norm, opener.NormOf(opener.arch().final_norm));
  if (shard.lm_head_is_embedding) return sources;
  ASSIGN_OR_RETURN(
      LinearSources head,
      opener.Vocabulary(tied ? opener.arch().embedding : opener.arch().lm_head,
                        shard.lm_head, LinearRole::kHead));
  sources.head.push_back(std::move(head));
  return sources;
}

}  // namespace quatrain
