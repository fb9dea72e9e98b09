#include "model/generation_config.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/config_parts.h"

namespace quatrain {
namespace {

constexpr double kTiny = 1e-30;

// Settings of generate() that would change the text and are not applied here,
// with the value at which they do nothing.
struct Setting {
  const char* key;
  nlohmann::json neutral;
};
const std::vector<Setting>& UnsupportedSettings() {
  static const auto* settings = new std::vector<Setting>{
      {"min_p", 0.0},
      {"typical_p", 1.0},
      {"repetition_penalty", 1.0},
      {"presence_penalty", 0.0},
      {"frequency_penalty", 0.0},
      {"encoder_repetition_penalty", 1.0},
      {"no_repeat_ngram_size", 0},
      {"encoder_no_repeat_ngram_size", 0},
      {"min_length", 0},
      {"min_new_tokens", 0},
      {"num_beams", 1},
      {"num_beam_groups", 1},
      {"num_return_sequences", 1},
      {"max_time", nullptr},
      {"renormalize_logits", false},
      {"remove_invalid_values", false},
      {"token_healing", false},
      {"penalty_alpha", 0.0},
      {"epsilon_cutoff", 0.0},
      {"eta_cutoff", 0.0},
      {"top_h", nullptr},
      {"guidance_scale", 1.0},
      {"bad_words_ids", nullptr},
      {"force_words_ids", nullptr},
      {"suppress_tokens", nullptr},
      {"begin_suppress_tokens", nullptr},
      {"forced_bos_token_id", nullptr},
      {"forced_eos_token_id", nullptr},
      {"forced_decoder_ids", nullptr},
      {"sequence_bias", nullptr},
      {"exponential_decay_length_penalty", nullptr},
      {"stop_strings", nullptr},
      {"watermarking_config", nullptr},
      {"dola_layers", nullptr},
  };
  return *settings;
}

const std::set<std::string>& HarmlessKeys() {
  static const auto* keys = new std::set<std::string>{
      "_from_model_config",     "bos_token_id",      "early_stopping",
      "length_penalty",         "pad_token_id",      "transformers_version",
      "trust_remote_code",      "use_cache",         "cache_implementation",
      "decoder_start_token_id", "output_attentions", "output_hidden_states",
      "output_logits",          "output_scores",     "return_dict_in_generate"};
  return *keys;
}

std::string Shortened(const nlohmann::json& value) {
  const std::string text = value.dump(-1, ' ', true);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

void CollectUnsupported(const JsonObject& json, GenerationDefaults* defaults) {
  for (const Setting& setting : UnsupportedSettings()) {
    const nlohmann::json* value = json.Find(setting.key);
    if (value == nullptr || *value == setting.neutral) continue;
    if (value->is_array() && value->empty()) continue;
    defaults->unsupported.push_back(
        absl::StrCat(setting.key, "=", Shortened(*value)));
  }
}

// Greedy, unless the file states a temperature, which then holds.
absl::Status ParseDoSample(const JsonObject& json,
                           GenerationDefaults* defaults) {
  ASSIGN_OR_RETURN(const bool do_sample, BoolOr(json, "do_sample", true));
  if (do_sample) return absl::OkStatus();
  if (defaults->temperature.value_or(0) != 0)
    defaults->unsupported.push_back("do_sample=false");
  defaults->temperature = defaults->temperature.value_or(0);
  return absl::OkStatus();
}

// The length of prompt and output together, which ends texts only where
// nothing else does before: files repeat the context here.
void CheckMaxLength(const JsonObject& json, const ModelConfig& config,
                    GenerationDefaults* defaults) {
  const nlohmann::json* value = json.Find("max_length");
  if (value == nullptr || defaults->max_new_tokens) return;
  if (value->is_number() && value->get<double>() >= config.max_model_len)
    return;
  defaults->unsupported.push_back(
      absl::StrCat("max_length=", Shortened(*value)));
}

absl::Status ParseSampling(const JsonObject& json,
                           GenerationDefaults* defaults) {
  ASSIGN_OR_RETURN(defaults->temperature, json.Number("temperature", 0, 1e4));
  ASSIGN_OR_RETURN(defaults->top_p, json.Number("top_p", kTiny, 1));
  ASSIGN_OR_RETURN(defaults->min_p, json.Number("min_p", 0, 1));
  ASSIGN_OR_RETURN(defaults->typical_p, json.Number("typical_p", kTiny, 1));
  ASSIGN_OR_RETURN(defaults->repetition_penalty,
                   json.Number("repetition_penalty", kTiny, 1e4));
  ASSIGN_OR_RETURN(const std::optional<int64_t> top_k,
                   json.Int("top_k", 0, 4'000'000));
  if (top_k) defaults->top_k = static_cast<int>(*top_k);
  ASSIGN_OR_RETURN(const std::optional<int64_t> max_new_tokens,
                   json.Int("max_new_tokens", 1, 16 << 20));
  if (max_new_tokens)
    defaults->max_new_tokens = static_cast<int>(*max_new_tokens);
  return absl::OkStatus();
}

absl::StatusOr<GenerationDefaults> FromJson(const nlohmann::json& value,
                                            std::string_view what,
                                            const ModelConfig& config) {
  ASSIGN_OR_RETURN(const JsonObject json, JsonObject::Of(value, what));
  GenerationDefaults defaults;
  RETURN_IF_ERROR(ParseSampling(json, &defaults));
  RETURN_IF_ERROR(ParseDoSample(json, &defaults));
  CheckMaxLength(json, config, &defaults);
  ASSIGN_OR_RETURN(defaults.eos_token_ids,
                   TokenIds(json, "eos_token_id", config.vocab_size));
  CollectUnsupported(json, &defaults);
  LogUnknownKeys(json, HarmlessKeys());
  return defaults;
}

}  // namespace

absl::StatusOr<GenerationDefaults> ParseGenerationDefaults(
    std::string_view text, std::string_view what, const ModelConfig& config) {
  ASSIGN_OR_RETURN(const nlohmann::json json,
                   ParseJson(text, kConfigLimits, what));
  return FromJson(json, what, config);
}

absl::StatusOr<GenerationDefaults> LoadGenerationDefaults(
    const std::string& folder, const ModelConfig& config) {
  const std::string path = absl::StrCat(folder, "/generation_config.json");
  const absl::StatusOr<nlohmann::json> json =
      ParseJsonFile(path, kConfigLimits);
  if (absl::IsNotFound(json.status())) return GenerationDefaults{};
  RETURN_IF_ERROR(json.status());
  return FromJson(*json, path, config);
}

std::vector<int32_t> EosTokenIds(const ModelConfig& config,
                                 const GenerationDefaults& generation,
                                 std::optional<int32_t> tokenizer_eos) {
  const std::vector<int>& stated = generation.eos_token_ids.empty()
                                       ? config.eos_token_ids
                                       : generation.eos_token_ids;
  std::vector<int32_t> ids(stated.begin(), stated.end());
  if (tokenizer_eos &&
      std::find(ids.begin(), ids.end(), *tokenizer_eos) == ids.end())
    ids.push_back(*tokenizer_eos);
  return ids;
}

}  // namespace quatrain
