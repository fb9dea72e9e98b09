#include "model/architecture.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"

namespace quatrain {
namespace {

// Llama 2 and 3, Yi, and what else is published under this name.
constexpr Architecture kLlama = {
    .name = "LlamaForCausalLM",
    .attention = {"model.layers.{}.self_attn.q_proj",
                  "model.layers.{}.self_attn.k_proj",
                  "model.layers.{}.self_attn.v_proj",
                  "model.layers.{}.self_attn.o_proj"},
    .mlp = {"model.layers.{}.mlp.gate_proj", "model.layers.{}.mlp.up_proj",
            "model.layers.{}.mlp.down_proj"},
    .layernorm = {"model.layers.{}.input_layernorm",
                  "model.layers.{}.post_attention_layernorm"},
    .embedding = "model.embed_tokens",
    .final_norm = "model.norm",
    .lm_head = "lm_head",
    .use_alibi = false,
    .qkv_bias = BiasRule::kAttentionBias,
    .o_bias = BiasRule::kAttentionBias,
    .mlp_bias = BiasRule::kMlpBias,
    .window = WindowRule::kNever,
    .default_num_kv_heads = 0,
    .default_max_position_embeddings = 2048,
    .default_sliding_window = 0,
    .default_max_window_layers = 0,
    .default_tie_word_embeddings = false,
};

constexpr Architecture Mistral() {
  Architecture row = kLlama;
  row.name = "MistralForCausalLM";
  row.qkv_bias = row.o_bias = row.mlp_bias = BiasRule::kNever;
  row.window = WindowRule::kAllLayers;
  row.default_num_kv_heads = 8;
  row.default_max_position_embeddings = 4096 * 32;
  row.default_sliding_window = 4096;
  return row;
}

constexpr Architecture Qwen2() {
  Architecture row = kLlama;
  row.name = "Qwen2ForCausalLM";
  row.qkv_bias = BiasRule::kAlways;
  row.o_bias = row.mlp_bias = BiasRule::kNever;
  row.window = WindowRule::kUpperLayers;
  row.default_num_kv_heads = 32;
  row.default_max_position_embeddings = 32768;
  row.default_sliding_window = 4096;
  row.default_max_window_layers = 28;
  return row;
}

constexpr Architecture kTable[] = {kLlama, Mistral(), Qwen2()};

const Architecture* Find(std::string_view name) {
  for (const Architecture& row : kTable)
    if (name == row.name) return &row;
  return nullptr;
}

}  // namespace

std::span<const Architecture> Architectures() { return kTable; }

absl::StatusOr<const Architecture*> FindArchitecture(std::string_view name) {
  if (const Architecture* row = Find(name)) return row;
  std::vector<std::string> names;
  for (const Architecture& row : kTable) names.push_back(row.name);
  return absl::UnimplementedError(absl::StrCat(
      "architecture ", std::string(name.substr(0, 100)),
      " does not work here; those that do: ", absl::StrJoin(names, ", ")));
}

const Architecture& ArchitectureOf(std::string_view name) {
  const Architecture* row = Find(name);
  CHECK(row != nullptr) << name;
  return *row;
}

std::string ModuleName(const char* pattern, int layer) {
  const std::string text(pattern);
  const size_t place = text.find("{}");
  if (place == std::string::npos) return text;
  return absl::StrCat(text.substr(0, place), layer, text.substr(place + 2));
}

}  // namespace quatrain
