#pragma once

#include <vector>

#include "model/model_config.h"

namespace quatrain {

// What rotary position embedding multiplies positions by. Pair i of a head is
// (x[i], x[i + head_dim/2]), turned by angle position * inv_freq[i]; cos and
// sin of it are multiplied by attention_scaling.
struct RopeTable {
  std::vector<float> inv_freq;  // [head_dim / 2]
  float attention_scaling = 1;  // not 1 with yarn only
};

// As Transformers computes them, in f32 where it does; powers of theta in f64,
// rounded once, so that every machine has the same bits.
RopeTable ComputeRope(const ModelConfig& config);

}  // namespace quatrain
