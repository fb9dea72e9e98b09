#include "coordinator/generation_parameters.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace quatrain {
namespace {

absl::Status CheckTemperature(double temperature) {
  if (temperature >= 0 && temperature <= 100) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "generation_config.json: temperature: ", temperature,
      ", accepted 0..100; --generation-config none ignores the file"));
}

}  // namespace

float ClampTemperature(float temperature) {
  if (temperature == 0) return 0;  // -0 too
  return std::max(temperature, 0.01f);
}

absl::StatusOr<EffectiveDefaults> ResolveDefaults(const ServedModel& model) {
  EffectiveDefaults defaults;
  if (!model.use_generation_defaults) return defaults;
  const GenerationDefaults& stated = model.generation;
  if (stated.temperature) {
    if (absl::Status status = CheckTemperature(*stated.temperature);
        !status.ok())
      return status;
    defaults.temperature =
        ClampTemperature(static_cast<float>(*stated.temperature));
  }
  if (stated.top_p) defaults.top_p = static_cast<float>(*stated.top_p);
  if (stated.top_k) defaults.top_k = *stated.top_k;
  defaults.max_tokens = stated.max_new_tokens;
  return defaults;
}

}  // namespace quatrain
