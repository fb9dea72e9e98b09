#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quatrain {

// How positions are stretched beyond the context that a model was trained with.
enum class RopeKind : uint8_t { kNone, kLinear, kLlama3, kYarn };

struct RopeConfig {
  double theta = 10000;
  RopeKind kind = RopeKind::kNone;
  double factor = 1;                         // linear, llama3, yarn
  double low_freq_factor = 1;                // llama3
  double high_freq_factor = 4;               // llama3
  int original_max_position_embeddings = 0;  // llama3, yarn; > 0 there
  // yarn
  double attention_factor = 1;  // multiplies cos and sin; mscale is in it
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;  // whole dimensions as ends of the ramp
};

// What quantization_config (or a legacy file beside it) says. The tensors
// decide what each linear is; this is for checking and planning.
struct QuantizationConfig {
  int bits = 4;
  int group_size = 128;  // -1: one group per output
  bool zero_point = true;
  std::string version = "gemm";
};

enum class Activation : uint8_t { kSilu };

// config.json as numbers. Every value was checked for type and range.
struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM", a row of architecture.h
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_q_heads = 0;
  int num_kv_heads = 0;  // divides num_q_heads
  int head_dim = 0;      // even
  double rms_norm_eps = 1e-6;
  Activation activation = Activation::kSilu;
  RopeConfig rope;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool tie_word_embeddings = false;
  int max_position_embeddings = 0;
  // Per layer [num_layers]: 0, or how many keys a query sees, its own included.
  std::vector<int> sliding_window;
  std::optional<QuantizationConfig> quantization;
  std::optional<int> bos_token_id;
  std::vector<int> eos_token_ids;  // generation_config.json's win over these
  std::string torch_dtype;         // what the file says; for people

  // Where down_proj is quantized, its groups bound the places where the MLP may
  // be cut (shard_plan.h); 0 if nothing but the multiples of 128 does.
  int mlp_group_size = 0;

  // The longest context the checkpoint says it can do: max_position_embeddings,
  // stretched by rope scaling where that is not already in it.
  int max_model_len = 0;

  int q_size() const { return num_q_heads * head_dim; }
  int kv_size() const { return num_kv_heads * head_dim; }
};

// Reads FOLDER/config.json and, where it has no quantization_config, the legacy
// quant_config.json or quantize_config.json. Unknown keys are logged once, by
// name only; nothing in the file can make us run or fetch anything.
// Unimplemented for an architecture, rope scaling, activation or quantization
// that is well-formed but does not work here; InvalidArgument for a wrong type
// or range or values that contradict each other; NotFound without config.json.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& folder);

// The same from the text of config.json alone; `what` names it in messages.
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text,
                                             std::string_view what);

// "num_layers 8, hidden_size 256, ..." for logs and `inspect`.
std::string Describe(const ModelConfig& config);

}  // namespace quatrain
