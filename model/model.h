#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"
#include "model/generation_config.h"
#include "model/model_config.h"

namespace quatrain {

// Everything that a model folder says about weights, checked against itself.
// (Its text side is tokenizer/.)
struct Model {
  std::string folder;
  ModelConfig config;
  GenerationDefaults generation;
  Checkpoint checkpoint;
  // Of config and checkpoint: two machines with equal digests hold the same
  // model, wherever it lies. Shown as 16 hexadecimal digits.
  uint64_t digest = 0;
};

// Reads headers only: under a second for any size. Every tensor that the
// architecture needs is found and has the type and shape that config.json
// implies; those it does not use are logged, and refused where leaving them out
// would change the output. Errors as of the parts.
absl::StatusOr<Model> OpenModel(const std::string& folder);

// The tensor half of OpenModel. Completes config.mlp_group_size.
absl::Status CheckTensors(const Checkpoint& checkpoint, ModelConfig* config);

std::string DigestText(uint64_t digest);

}  // namespace quatrain
