#include "model/model.h"

#include <set>
#include <span>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/digest.h"
#include "base/mapped_file.h"
#include "base/status_macros.h"
#include "model/architecture.h"
#include "model/linear_source.h"
#include "model/shard_plan.h"
#include "spdlog/spdlog.h"

namespace quatrain {
namespace {

// Suffixes of the tensors that a slice of the plan is read from.
std::vector<std::string> Suffixes(const TensorSlice& slice) {
  if (slice.kind == TensorSlice::kBias) return {".bias"};
  if (slice.kind == TensorSlice::kLinear)
    return {".weight", ".qweight", ".qzeros", ".scales"};
  return {".weight"};
}

// Opens what the whole model as one rank would read, which checks it.
absl::Status CheckSlice(const Checkpoint& checkpoint, const TensorSlice& slice,
                        bool has_bias) {
  switch (slice.kind) {
    case TensorSlice::kLinear:
      return OpenLinear(checkpoint, slice.name, slice.num_rows,
                        slice.num_columns, has_bias, slice.rows, slice.columns,
                        slice.head_dim)
          .status();
    case TensorSlice::kTable:
      return OpenTable(checkpoint, slice.name + ".weight", slice.num_rows,
                       slice.num_columns, slice.rows)
          .status();
    case TensorSlice::kVector:
      return ReadVector(checkpoint, slice.name + ".weight", slice.num_rows)
          .status();
    case TensorSlice::kBias:
      return absl::OkStatus();  // with its linear
  }
  return absl::OkStatus();
}

// Where every layer may cut its MLP: at its group size if all agree, else at
// multiples of 128, which are block ends for any.
absl::StatusOr<int> CommonMlpGroupSize(const Checkpoint& checkpoint,
                                       const ModelConfig& config) {
  const Architecture& row = ArchitectureOf(config.architecture);
  std::set<int> sizes;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    ASSIGN_OR_RETURN(const LinearSlice down,
                     OpenLinear(checkpoint, ModuleName(row.mlp[2], layer),
                                config.hidden_size, config.intermediate_size,
                                config.mlp_bias, {0, config.hidden_size},
                                {0, config.intermediate_size}, 0));
    sizes.insert(down.is_int4() ? down.group_size() : 0);
  }
  if (sizes.size() > 1) return 0;
  return *sizes.begin() == config.intermediate_size ? 0 : *sizes.begin();
}

// Buffers that some tools save beside the weights, and a head that is tied.
bool IsHarmless(const std::string& name, const ModelConfig& config) {
  return name.ends_with(".rotary_emb.inv_freq") ||
         (config.tie_word_embeddings && name.starts_with("lm_head."));
}

// Whether `name` belongs to a layer that the model runs, by the architecture's
// names.
bool IsInLayer(const std::string& name, const ModelConfig& config) {
  const std::string pattern = ArchitectureOf(config.architecture).attention[0];
  const std::string prefix = pattern.substr(0, pattern.find("{}"));
  if (!name.starts_with(prefix)) return false;
  int layer = 0;
  return absl::SimpleAtoi(
             name.substr(prefix.size(),
                         name.find('.', prefix.size()) - prefix.size()),
             &layer) &&
         layer >= 0 && layer < config.num_layers;
}

// A tensor of a layer changes its output: leaving it out is refused.
absl::Status CheckUnused(const Checkpoint& checkpoint,
                         const std::set<std::string>& used,
                         const ModelConfig& config) {
  std::vector<std::string> unused;
  for (const Tensor& tensor : checkpoint.tensors()) {
    if (used.contains(tensor.name()) || IsHarmless(tensor.name(), config))
      continue;
    const std::string name =
        absl::Utf8SafeCHexEscape(tensor.name().substr(0, 200));
    if (IsInLayer(name, config)) {
      return absl::UnimplementedError(
          absl::StrCat(name, ": is in the checkpoint, ", config.architecture,
                       " has no place for it here"));
    }
    if (unused.size() < 8) unused.push_back(name);
  }
  if (!unused.empty()) {
    spdlog::warn("tensors that are not used: {}", absl::StrJoin(unused, ", "));
  }
  return absl::OkStatus();
}

void WarnIfConfigDiffers(const ModelConfig& config) {
  if (!config.quantization || config.mlp_group_size == 0) return;
  if (config.quantization->group_size > 0 &&
      config.quantization->group_size != config.mlp_group_size) {
    spdlog::warn(
        "quantization_config says group_size {}, the tensors have {}; the "
        "tensors decide",
        config.quantization->group_size, config.mlp_group_size);
  }
}

absl::StatusOr<uint64_t> DigestOf(const std::string& folder,
                                  const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const MappedFile config,
                   MappedFile::Open(absl::StrCat(folder, "/config.json")));
  const uint64_t tensors[] = {checkpoint.digest()};
  return ChainDigest(ChainDigest(0, config.bytes()),
                     std::as_bytes(std::span(tensors)));
}

Layout SingleRank(int num_layers) {
  return Layout{{Stage{{0, num_layers}, {1}}}};
}

}  // namespace

absl::Status CheckTensors(const Checkpoint& checkpoint, ModelConfig* config) {
  const RankShard whole =
      PlanShards(*config, SingleRank(config->num_layers))[0];
  const std::vector<TensorSlice> slices = SlicesOf(*config, whole);
  std::set<std::string> used, with_bias;
  for (const TensorSlice& slice : slices) {
    if (slice.kind == TensorSlice::kBias) with_bias.insert(slice.name);
    for (const std::string& suffix : Suffixes(slice))
      used.insert(slice.name + suffix);
  }
  for (const TensorSlice& slice : slices) {
    RETURN_IF_ERROR(
        CheckSlice(checkpoint, slice, with_bias.contains(slice.name)));
  }
  RETURN_IF_ERROR(CheckUnused(checkpoint, used, *config));
  ASSIGN_OR_RETURN(config->mlp_group_size,
                   CommonMlpGroupSize(checkpoint, *config));
  WarnIfConfigDiffers(*config);
  return absl::OkStatus();
}

absl::StatusOr<Model> OpenModel(const std::string& folder) {
  ASSIGN_OR_RETURN(ModelConfig config, LoadModelConfig(folder));
  ASSIGN_OR_RETURN(GenerationDefaults generation,
                   LoadGenerationDefaults(folder, config));
  ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(folder));
  RETURN_IF_ERROR(CheckTensors(checkpoint, &config));
  ASSIGN_OR_RETURN(const uint64_t digest, DigestOf(folder, checkpoint));
  return Model{folder, std::move(config), std::move(generation),
               std::move(checkpoint), digest};
}

std::string DigestText(uint64_t digest) {
  return absl::StrCat(absl::Hex(digest, absl::kZeroPad16));
}

}  // namespace quatrain
