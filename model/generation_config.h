#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quatrain {

// The checkpoint's own defaults for sampling, from generation_config.json.
// Only values that the file states are set. As in vLLM, `do_sample` decides
// nothing: it says what Transformers' generate() does without arguments, while
// a request here states its temperature.
struct GenerationDefaults {
  std::optional<double> temperature;         // >= 0
  std::optional<double> top_p;               // (0, 1]
  std::optional<int> top_k;                  // 0: no filter
  std::optional<double> min_p;               // [0, 1]
  std::optional<double> typical_p;           // (0, 1]
  std::optional<double> repetition_penalty;  // > 0
  std::optional<int> max_new_tokens;         // >= 1
  std::vector<int> eos_token_ids;            // empty: config.json's count
  // Stated settings that differ from neutral and do not work here yet, as
  // "name=value": to be named at start and in GetModel.
  std::vector<std::string> unsupported;
};

// A folder without the file has no defaults. InvalidArgument for a wrong type
// or range.
absl::StatusOr<GenerationDefaults> LoadGenerationDefaults(
    const std::string& folder, int vocab_size);

// The same from text; `what` names it in messages.
absl::StatusOr<GenerationDefaults> ParseGenerationDefaults(
    std::string_view text, std::string_view what, int vocab_size);

}  // namespace quatrain
