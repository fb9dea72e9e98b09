#include "model/model_config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/architecture.h"
#include "model/config_parts.h"

namespace quatrain {
namespace {

constexpr int kMaxContext = 16 << 20;

// Keys that say nothing about the arithmetic.
const std::set<std::string>& HarmlessKeys() {
  static const auto* keys = new std::set<std::string>{"_from_model_config",
                                                      "_name_or_path",
                                                      "attention_dropout",
                                                      "hidden_dropout",
                                                      "initializer_range",
                                                      "model_type",
                                                      "pad_token_id",
                                                      "pretraining_tp",
                                                      "resid_pdrop",
                                                      "torch_dtype",
                                                      "dtype",
                                                      "transformers_version",
                                                      "unk_token_id",
                                                      "use_cache"};
  return *keys;
}

absl::StatusOr<const Architecture*> ParseArchitecture(const JsonObject& json) {
  const nlohmann::json* list = json.Find("architectures");
  if (list == nullptr || !list->is_array() || list->size() != 1 ||
      !list->at(0).is_string())
    return json.Wrong("architectures", "a list of one name");
  const absl::StatusOr<const Architecture*> row =
      FindArchitecture(list->at(0).get<std::string>());
  if (row.ok()) return row;
  return absl::Status(
      row.status().code(),
      absl::StrCat(json.what(), ": ", std::string(row.status().message())));
}

absl::Status ParseDimensions(const JsonObject& json, const Architecture& row,
                             ModelConfig* config) {
  ASSIGN_OR_RETURN(config->vocab_size,
                   RequiredInt(json, "vocab_size", 2, 4'000'000));
  ASSIGN_OR_RETURN(config->hidden_size,
                   RequiredInt(json, "hidden_size", 8, 65536));
  ASSIGN_OR_RETURN(config->intermediate_size,
                   RequiredInt(json, "intermediate_size", 8, 1 << 20));
  ASSIGN_OR_RETURN(config->num_layers,
                   RequiredInt(json, "num_hidden_layers", 1, 1024));
  ASSIGN_OR_RETURN(config->max_position_embeddings,
                   IntOr(json, "max_position_embeddings", 1, kMaxContext,
                         row.default_max_position_embeddings));
  ASSIGN_OR_RETURN(config->rms_norm_eps,
                   NumberOr(json, "rms_norm_eps", 1e-30, 1, 1e-6));
  return absl::OkStatus();
}

absl::Status ParseHeads(const JsonObject& json, const Architecture& row,
                        ModelConfig* config) {
  ASSIGN_OR_RETURN(config->num_q_heads,
                   RequiredInt(json, "num_attention_heads", 1, 1024));
  const int default_kv = row.default_num_kv_heads == 0
                             ? config->num_q_heads
                             : row.default_num_kv_heads;
  ASSIGN_OR_RETURN(config->num_kv_heads,
                   IntOr(json, "num_key_value_heads", 1, 1024, default_kv));
  if (config->num_q_heads % config->num_kv_heads != 0) {
    return json.Wrong(
        "num_key_value_heads",
        absl::StrCat("a divisor of num_attention_heads ", config->num_q_heads));
  }
  ASSIGN_OR_RETURN(config->head_dim, IntOr(json, "head_dim", 2, 1024, 0));
  if (config->head_dim == 0) {
    if (config->hidden_size % config->num_q_heads != 0) {
      return json.Wrong(
          "hidden_size",
          absl::StrCat("a multiple of num_attention_heads ",
                       config->num_q_heads, ", or head_dim to be given"));
    }
    config->head_dim = config->hidden_size / config->num_q_heads;
  }
  if (config->head_dim % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(json.what(), ": head_dim ", config->head_dim,
                     ", expected an even number (rotary embedding)"));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ParseBias(const JsonObject& json, BiasRule rule) {
  switch (rule) {
    case BiasRule::kNever:
      return false;
    case BiasRule::kAlways:
      return true;
    case BiasRule::kAttentionBias:
      return BoolOr(json, "attention_bias", false);
    case BiasRule::kMlpBias:
      return BoolOr(json, "mlp_bias", false);
  }
  return false;
}

absl::Status ParseOptions(const JsonObject& json, const Architecture& row,
                          ModelConfig* config) {
  ASSIGN_OR_RETURN(config->qkv_bias, ParseBias(json, row.qkv_bias));
  ASSIGN_OR_RETURN(config->o_bias, ParseBias(json, row.o_bias));
  ASSIGN_OR_RETURN(config->mlp_bias, ParseBias(json, row.mlp_bias));
  ASSIGN_OR_RETURN(
      config->tie_word_embeddings,
      BoolOr(json, "tie_word_embeddings", row.default_tie_word_embeddings));
  ASSIGN_OR_RETURN(const std::optional<std::string> activation,
                   json.String("hidden_act"));
  if (activation && *activation != "silu" && *activation != "swish") {
    return absl::UnimplementedError(
        absl::StrCat(json.what(), ": hidden_act \"", activation->substr(0, 60),
                     "\" does not work here, expected \"silu\""));
  }
  ASSIGN_OR_RETURN(const double partial,
                   NumberOr(json, "partial_rotary_factor", 0, 1, 1));
  if (partial != 1) {
    return absl::UnimplementedError(
        absl::StrCat(json.what(), ": partial_rotary_factor ", partial,
                     " does not work here, expected 1"));
  }
  ASSIGN_OR_RETURN(std::optional<std::string> dtype,
                   json.String("torch_dtype"));
  if (!dtype) {
    ASSIGN_OR_RETURN(dtype, json.String("dtype"));
  }
  config->torch_dtype = dtype.value_or("");
  return absl::OkStatus();
}

// Layers that layer_types calls sliding_attention.
absl::StatusOr<std::vector<bool>> ParseLayerTypes(const JsonObject& json,
                                                  const nlohmann::json& types,
                                                  int num_layers) {
  const std::string expected =
      absl::StrCat("a list of ", num_layers,
                   " times \"full_attention\" or \"sliding_attention\"");
  if (!types.is_array() || types.size() != static_cast<size_t>(num_layers))
    return json.Wrong("layer_types", expected);
  std::vector<bool> sliding;
  for (const nlohmann::json& type : types) {
    if (type != "full_attention" && type != "sliding_attention")
      return json.Wrong("layer_types", expected);
    sliding.push_back(type == "sliding_attention");
  }
  return sliding;
}

// Windows of a family whose upper layers may slide.
absl::Status ParseUpperWindows(const JsonObject& json, const Architecture& row,
                               int window, ModelConfig* config) {
  ASSIGN_OR_RETURN(const bool use, BoolOr(json, "use_sliding_window", false));
  ASSIGN_OR_RETURN(const int first, IntOr(json, "max_window_layers", 0, 1024,
                                          row.default_max_window_layers));
  std::vector<bool> sliding(config->num_layers, false);
  if (use) {
    for (int i = first; i < config->num_layers; ++i) sliding[i] = true;
  }
  if (const nlohmann::json* types = json.Find("layer_types")) {
    ASSIGN_OR_RETURN(sliding,
                     ParseLayerTypes(json, *types, config->num_layers));
  }
  for (int i = 0; i < config->num_layers; ++i) {
    if (!sliding[i]) continue;
    if (!use || window == 0) {
      return json.Wrong("layer_types",
                        "no sliding_attention without use_sliding_window and "
                        "sliding_window");
    }
    config->sliding_window[i] = window;
  }
  return absl::OkStatus();
}

absl::Status ParseWindows(const JsonObject& json, const Architecture& row,
                          ModelConfig* config) {
  config->sliding_window.assign(config->num_layers, 0);
  if (row.window == WindowRule::kNever) return absl::OkStatus();
  // Absent is the family's default; null is no window.
  int window = 0;
  if (!json.Has("sliding_window") && !json.IsNull("sliding_window")) {
    window = row.default_sliding_window;
  } else {
    ASSIGN_OR_RETURN(window, IntOr(json, "sliding_window", 1, kMaxContext, 0));
  }
  if (row.window == WindowRule::kUpperLayers)
    return ParseUpperWindows(json, row, window, config);
  config->sliding_window.assign(config->num_layers, window);
  return absl::OkStatus();
}

absl::Status ParseTokenIds(const JsonObject& json, ModelConfig* config) {
  ASSIGN_OR_RETURN(const std::vector<int> bos,
                   TokenIds(json, "bos_token_id", config->vocab_size));
  if (!bos.empty()) config->bos_token_id = bos[0];
  ASSIGN_OR_RETURN(config->eos_token_ids,
                   TokenIds(json, "eos_token_id", config->vocab_size));
  return absl::OkStatus();
}

int MaxModelLen(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  double length = config.max_position_embeddings;
  if (rope.kind == RopeKind::kLinear) length *= rope.factor;
  if (rope.kind == RopeKind::kYarn)
    length =
        std::max(length, rope.original_max_position_embeddings * rope.factor);
  return static_cast<int>(std::min<double>(length, kMaxContext));
}

void SetQuantization(QuantizationConfig quantization, ModelConfig* config) {
  config->mlp_group_size = std::max(0, quantization.group_size);
  config->quantization = std::move(quantization);
}

absl::StatusOr<ModelConfig> FromJson(const nlohmann::json& value,
                                     std::string_view what) {
  ASSIGN_OR_RETURN(const JsonObject json, JsonObject::Of(value, what));
  ASSIGN_OR_RETURN(const Architecture* row, ParseArchitecture(json));
  ModelConfig config;
  config.architecture = row->name;
  RETURN_IF_ERROR(ParseDimensions(json, *row, &config));
  RETURN_IF_ERROR(ParseHeads(json, *row, &config));
  RETURN_IF_ERROR(ParseOptions(json, *row, &config));
  RETURN_IF_ERROR(ParseWindows(json, *row, &config));
  ASSIGN_OR_RETURN(config.rope, ParseRope(json, config));
  RETURN_IF_ERROR(ParseTokenIds(json, &config));
  config.max_model_len = MaxModelLen(config);
  if (const nlohmann::json* quantization = json.Find("quantization_config")) {
    ASSIGN_OR_RETURN(
        QuantizationConfig parsed,
        ParseQuantization(*quantization,
                          absl::StrCat(json.what(), ": quantization_config")));
    SetQuantization(std::move(parsed), &config);
  }
  LogUnknownKeys(json, HarmlessKeys());
  return config;
}

// Before quantization_config there were files beside config.json.
absl::Status ReadLegacyQuantization(const std::string& folder,
                                    ModelConfig* config) {
  for (const char* name : {"quant_config.json", "quantize_config.json"}) {
    const std::string path = absl::StrCat(folder, "/", name);
    const absl::StatusOr<nlohmann::json> json =
        ParseJsonFile(path, kConfigLimits);
    if (absl::IsNotFound(json.status())) continue;
    RETURN_IF_ERROR(json.status());
    ASSIGN_OR_RETURN(QuantizationConfig parsed, ParseQuantization(*json, path));
    SetQuantization(std::move(parsed), config);
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

const char* RopeName(RopeKind kind) {
  switch (kind) {
    case RopeKind::kNone:
      return "default";
    case RopeKind::kLinear:
      return "linear";
    case RopeKind::kLlama3:
      return "llama3";
    case RopeKind::kYarn:
      return "yarn";
  }
  return "?";
}

}  // namespace

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text,
                                             std::string_view what) {
  ASSIGN_OR_RETURN(const nlohmann::json json,
                   ParseJson(text, kConfigLimits, what));
  return FromJson(json, what);
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/config.json");
  ASSIGN_OR_RETURN(const nlohmann::json json,
                   ParseJsonFile(path, kConfigLimits));
  ASSIGN_OR_RETURN(ModelConfig config, FromJson(json, path));
  if (!config.quantization)
    RETURN_IF_ERROR(ReadLegacyQuantization(folder, &config));
  return config;
}

std::string Describe(const ModelConfig& config) {
  const auto [least, most] = std::minmax_element(config.sliding_window.begin(),
                                                 config.sliding_window.end());
  std::string text = absl::StrCat(
      config.architecture, ", num_layers ", config.num_layers, ", hidden_size ",
      config.hidden_size, ", intermediate_size ", config.intermediate_size,
      ", num_q_heads ", config.num_q_heads, ", num_kv_heads ",
      config.num_kv_heads, ", head_dim ", config.head_dim, ", vocab_size ",
      config.vocab_size, ", rope ", RopeName(config.rope.kind), " theta ",
      config.rope.theta, ", context ", config.max_model_len);
  if (most != config.sliding_window.end() && *most > 0) {
    absl::StrAppend(&text, ", sliding window ", *most,
                    *least == *most ? "" : " in some layers");
  }
  if (config.tie_word_embeddings) absl::StrAppend(&text, ", tied embeddings");
  if (config.quantization) {
    absl::StrAppend(&text, ", AWQ ", config.quantization->bits, " bits groups ",
                    config.quantization->group_size);
  }
  return text;
}

}  // namespace quatrain
