#include "worker/engine_settings.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/num_cores.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

absl::StatusOr<Layout> ReadLayout(const internal::v1::Layout& proto) {
  Layout layout;
  for (const internal::v1::Stage& from : proto.stages()) {
    Stage stage;
    stage.layers = {static_cast<int>(from.layer_begin()),
                    static_cast<int>(from.layer_end())};
    for (const double share : from.shares()) {
      if (!(share >= 0 && share <= 0x1p53) || share != std::floor(share))
        return absl::InvalidArgumentError(absl::StrCat(
            "config: share ", share, ", expected a whole number >= 0"));
      stage.shares.push_back(static_cast<int64_t>(share));
    }
    layout.stages.push_back(std::move(stage));
  }
  return layout;
}

absl::Status ReadPositive(const char* name, uint32_t value, uint32_t most,
                          int* out) {
  if (value < 1 || value > most)
    return absl::InvalidArgumentError(
        absl::StrCat("config: ", name, " is ", value, ", expected 1..", most));
  *out = static_cast<int>(value);
  return absl::OkStatus();
}

absl::StatusOr<DType> ReadKvDType(const std::string& name) {
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32})
    if (name == Name(dtype)) return dtype;
  return absl::InvalidArgumentError(absl::StrCat(
      "config: kv_cache_dtype is '", name, "', expected f16, bf16 or f32"));
}

absl::Status ReadChoices(const internal::v1::EngineConfig& config,
                         EngineSettings* settings) {
  ASSIGN_OR_RETURN(settings->kv_dtype, ReadKvDType(config.kv_cache_dtype()));
  if (!ParseActivations(config.activations(), &settings->activations))
    return absl::InvalidArgumentError(
        absl::StrCat("config: activations is '", config.activations(),
                     "', expected exact, int8 or f32"));
  if (config.backend() != "cpu" && config.backend() != "reference")
    return absl::InvalidArgumentError(
        absl::StrCat("config: backend is '", config.backend(),
                     "', expected cpu or reference"));
  settings->backend = config.backend();
  if (config.isa() != "auto") settings->isa = config.isa();
  return absl::OkStatus();
}

}  // namespace

int EngineSettings::num_threads() const {
  return threads > 0 ? threads : std::max(1, NumCores() / ranks_on_host);
}

bool EngineSettings::may_spin() const {
  return num_threads() * ranks_on_host <= NumCores();
}

absl::StatusOr<EngineSettings> ReadEngineConfig(
    const internal::v1::EngineConfig& config) {
  EngineSettings settings;
  ASSIGN_OR_RETURN(settings.layout, ReadLayout(config.layout()));
  RETURN_IF_ERROR(ReadPositive("block_size", config.block_size(), 4096,
                               &settings.block_size));
  RETURN_IF_ERROR(ReadPositive("max_num_seqs", config.max_num_seqs(), 1 << 20,
                               &settings.max_num_seqs));
  RETURN_IF_ERROR(ReadPositive("max_num_batched_tokens",
                               config.max_num_batched_tokens(), 1 << 20,
                               &settings.max_num_batched_tokens));
  RETURN_IF_ERROR(ReadPositive("max_model_len", config.max_model_len(), 1 << 28,
                               &settings.max_model_len));
  RETURN_IF_ERROR(ReadPositive("num_micro_batches", config.num_micro_batches(),
                               1024, &settings.num_micro_batches));
  RETURN_IF_ERROR(ReadPositive("plans_in_flight", config.plans_in_flight(),
                               1024, &settings.plans_in_flight));
  RETURN_IF_ERROR(ReadChoices(config, &settings));
  if (config.num_token_ids() > 0)
    RETURN_IF_ERROR(ReadPositive("num_token_ids", config.num_token_ids(),
                                 1 << 30, &settings.num_token_ids));
  settings.ranks_on_host =
      std::max(1, static_cast<int>(config.ranks_on_host()));
  settings.threads = static_cast<int>(std::min(config.threads(), 4096u));
  if (config.step_timeout_ms() > 0)
    settings.step_timeout = std::chrono::milliseconds(config.step_timeout_ms());
  return settings;
}

}  // namespace quatrain
