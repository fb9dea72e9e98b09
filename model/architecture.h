#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quatrain {

// Whether linears have a bias.
enum class BiasRule : uint8_t {
  kNever,
  kAlways,
  kAttentionBias,  // where config.json's attention_bias is true
  kMlpBias,        // where config.json's mlp_bias is true
};

// Which layers attend to a sliding window.
enum class WindowRule : uint8_t {
  kNever,
  kAllLayers,    // sliding_window of config.json, null for none
  kUpperLayers,  // with use_sliding_window, layers from max_window_layers on;
                 // layer_types overrides
};

// One row of the table: how a family names its tensors and where it differs.
// Names of modules are those of the checkpoint; "{}" stands for the layer.
// attention, mlp, layernorm and use_alibi are spelled as in the
// `modules_to_fuse` mapping of Transformers.
struct Architecture {
  const char* name;
  std::array<const char*, 4> attention;  // q, k, v, o
  std::array<const char*, 3> mlp;        // gate, up, down
  std::array<const char*, 2> layernorm;  // before attention, before the MLP
  const char* embedding;
  const char* final_norm;
  const char* lm_head;
  bool use_alibi;
  BiasRule qkv_bias, o_bias, mlp_bias;
  WindowRule window;
  // What the family's configuration class assumes where config.json is silent.
  int default_num_kv_heads;  // 0: num_attention_heads
  int default_max_position_embeddings;
  int default_sliding_window;  // 0: none
  int default_max_window_layers;
  bool default_tie_word_embeddings;
};

// All rows, in the order in which messages list them.
std::span<const Architecture> Architectures();

// Unimplemented, naming it and listing those that work, if there is no such
// row.
absl::StatusOr<const Architecture*> FindArchitecture(std::string_view name);

// The row of a config that LoadModelConfig accepted.
const Architecture& ArchitectureOf(std::string_view name);

// A pattern with its layer: ("model.layers.{}.mlp.up_proj", 3).
std::string ModuleName(const char* pattern, int layer);

}  // namespace quatrain
