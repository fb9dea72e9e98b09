#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/model_config.h"

namespace quatrain {

// The checkpoint's own defaults for sampling, from generation_config.json.
// Only values that the file states are set. `do_sample` false is a temperature
// of 0 where the file states none. Where it states one, that holds, as in vLLM;
// so does the absence of `do_sample`, which would be greedy in Transformers:
// here a request states its temperature.
struct GenerationDefaults {
  std::optional<double> temperature;         // >= 0
  std::optional<double> top_p;               // (0, 1]
  std::optional<int> top_k;                  // 0: no filter
  std::optional<double> min_p;               // [0, 1]
  std::optional<double> typical_p;           // (0, 1]
  std::optional<double> repetition_penalty;  // > 0
  std::optional<int> max_new_tokens;         // >= 1
  std::vector<int> eos_token_ids;            // empty: config.json's count
  // Stated settings that would change what Transformers does and are not
  // applied here, as "name=value": to be named at start and in GetModel.
  std::vector<std::string> unsupported;
};

// A folder without the file has no defaults. InvalidArgument for a wrong type
// or range. `config`: of the same folder.
absl::StatusOr<GenerationDefaults> LoadGenerationDefaults(
    const std::string& folder, const ModelConfig& config);

// The same from text; `what` names it in messages.
absl::StatusOr<GenerationDefaults> ParseGenerationDefaults(
    std::string_view text, std::string_view what, const ModelConfig& config);

// Ids that end a text of this model: generation_config.json's, else
// config.json's, and the tokenizer's eos_token in any case.
std::vector<int32_t> EosTokenIds(const ModelConfig& config,
                                 const GenerationDefaults& generation,
                                 std::optional<int32_t> tokenizer_eos);

}  // namespace quatrain
