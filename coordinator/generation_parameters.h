#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "coordinator/served_model.h"

namespace quatrain {

// What holds where a request leaves a parameter unset: the checkpoint's value,
// else the engine's.
struct EffectiveDefaults {
  float temperature = 1.0f;
  float top_p = 1.0f;
  int top_k = 0;
  std::optional<int> max_tokens;  // unset: the context that is left
};

// InvalidArgument if the checkpoint states a value that a request may not.
absl::StatusOr<EffectiveDefaults> ResolveDefaults(const ServedModel& model);

// Temperatures between 0 and 0.01 count as 0.01.
float ClampTemperature(float temperature);

}  // namespace quatrain
