#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "model/model_config.h"

// What model_config.cc and its neighbours share; no other folder includes it.
namespace quatrain {

// Limits of every small JSON file of a model folder.
inline constexpr JsonLimits kConfigLimits = {.max_depth = 16,
                                             .max_bytes = 1u << 20};

// The integer `key`, which must be there.
absl::StatusOr<int> RequiredInt(const JsonObject& json, const std::string& key,
                                int64_t min, int64_t max);
// The same with a default where it is absent or null.
absl::StatusOr<int> IntOr(const JsonObject& json, const std::string& key,
                          int64_t min, int64_t max, int absent);
absl::StatusOr<double> NumberOr(const JsonObject& json, const std::string& key,
                                double min, double max, double absent);
absl::StatusOr<bool> BoolOr(const JsonObject& json, const std::string& key,
                            bool absent);

// Token ids: an integer or a list of them, each below vocab_size; empty if the
// key is absent.
absl::StatusOr<std::vector<int>> TokenIds(const JsonObject& json,
                                          const std::string& key,
                                          int vocab_size);

// rope_theta and rope_scaling of config.json, or rope_parameters of newer ones.
// Needs config.max_position_embeddings.
absl::StatusOr<RopeConfig> ParseRope(const JsonObject& json,
                                     const ModelConfig& config);

// A quantization_config, or the whole of a legacy quant_config.json.
absl::StatusOr<QuantizationConfig> ParseQuantization(const nlohmann::json& json,
                                                     std::string_view what);

// Logs keys that nothing asked for and that are not in `harmless`, by name
// only, once per process.
void LogUnknownKeys(const JsonObject& json,
                    const std::set<std::string>& harmless);

}  // namespace quatrain
