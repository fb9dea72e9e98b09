#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace quatrain {

// What a random checkpoint is made of. Everything follows from these values by
// integer arithmetic, so two machines make the same bytes.
struct RandomCheckpointSpec {
  // A Hugging Face config.json of a Llama-like architecture, without
  // quantization_config.
  std::string config_json;
  uint64_t seed = 1;
  // 0: every linear is dense in `dtype`; else AWQ GEMM groups of that many
  // inputs. The embedding, the head and the norms are always in `dtype`.
  int group_size = 128;
  std::string dtype = "F16";  // F16, BF16 or F32
  // Standard deviations of activations at inputs of standard deviation 1:
  // attention is peaked and logits are spread, so that an error shows.
  double qk_gain = 1.8;
  double other_gain = 0.7;
  double head_gain = 2.0;
  double embedding_std = 0.1;
  // Mistakes for negative controls: every bias 0; query head h computed with
  // the weights of head h + 1.
  bool zero_biases = false;
  bool rotate_q_heads = false;
  // Copied beside the weights where not empty: a folder with tokenizer files.
  std::string tokenizer_folder;
};

// From the JSON form that make_random_checkpoint and tests/oracle use: a field
// for each member, "config" holding config.json.
RandomCheckpointSpec ReadRandomCheckpointSpec(const nlohmann::json& json);

// Writes config.json and model.safetensors into `folder`, which is made.
absl::Status WriteRandomCheckpoint(const RandomCheckpointSpec& spec,
                                   const std::string& folder);

}  // namespace quatrain
