#include "model/tokenizer/tokenizer_config.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status_macros.h"
#include "model/tokenizer/added_token_json.h"

namespace quatrain {
namespace {

using nlohmann::json;

constexpr JsonLimits kLimits = {.max_depth = 16, .max_bytes = 16u << 20};

// "<s>", or {"content": "<s>", ...}, or null for none.
absl::Status ReadToken(const JsonObject& object, const std::string& key,
                       std::optional<std::string>* token) {
  const json* value = object.Find(key);
  if (value == nullptr) return absl::OkStatus();
  if (value->is_object()) {
    const auto content = value->find("content");
    if (content == value->end())
      return object.Wrong(key, "a \"content\" in it");
    value = &*content;
  }
  if (!value->is_string()) return object.Wrong(key, "a string or an object");
  *token = value->get<std::string>();
  return absl::OkStatus();
}

// "LlamaTokenizerFast" and "LlamaTokenizer" are one class to us.
bool BuildsBosEosByFlags(std::string name) {
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name == "LlamaTokenizer" || name == "CodeLlamaTokenizer" ||
         name == "GemmaTokenizer" || name == "CohereTokenizer";
}

absl::Status ReadFlag(const JsonObject& object, const std::string& key,
                      bool* flag) {
  ASSIGN_OR_RETURN(const std::optional<bool> value, object.Bool(key));
  if (value) *flag = *value;
  return absl::OkStatus();
}

absl::Status ReadAddedTokens(const JsonObject& object,
                             std::vector<AddedToken>* tokens) {
  const json* list = object.Find("added_tokens_decoder");
  if (list == nullptr) return absl::OkStatus();
  if (!list->is_object())
    return object.Wrong("added_tokens_decoder", "an object");
  for (const auto& [key, value] : list->items()) {
    const std::string place = absl::StrCat(
        object.what(), ": added_tokens_decoder \"", key.substr(0, 20), "\"");
    int32_t id = 0;
    if (!absl::SimpleAtoi(key, &id) || absl::StrCat(id) != key)
      return absl::InvalidArgumentError(
          absl::StrCat(place, ": expected a token id"));
    ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(value, id, place));
    tokens->push_back(std::move(token));
  }
  std::sort(
      tokens->begin(), tokens->end(),
      [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return absl::OkStatus();
}

absl::Status ReadConfig(std::string_view text, TokenizerConfig* config) {
  ASSIGN_OR_RETURN(const json root,
                   ParseJson(text, kLimits, "tokenizer_config.json"));
  ASSIGN_OR_RETURN(const JsonObject object,
                   JsonObject::Of(root, "tokenizer_config.json"));
  ASSIGN_OR_RETURN(const std::optional<std::string> name,
                   object.String("tokenizer_class"));
  config->bos_eos_by_flags = name && BuildsBosEosByFlags(*name);
  RETURN_IF_ERROR(ReadFlag(object, "add_bos_token", &config->add_bos_token));
  RETURN_IF_ERROR(ReadFlag(object, "add_eos_token", &config->add_eos_token));
  RETURN_IF_ERROR(ReadFlag(object, "legacy", &config->legacy));
  RETURN_IF_ERROR(
      ReadFlag(object, "add_prefix_space", &config->add_prefix_space));
  RETURN_IF_ERROR(ReadToken(object, "bos_token", &config->bos_token));
  RETURN_IF_ERROR(ReadToken(object, "eos_token", &config->eos_token));
  return ReadAddedTokens(object, &config->added_tokens);
}

absl::Status ReadMap(std::string_view text, TokenizerConfig* config) {
  ASSIGN_OR_RETURN(const json root,
                   ParseJson(text, kLimits, "special_tokens_map.json"));
  ASSIGN_OR_RETURN(const JsonObject object,
                   JsonObject::Of(root, "special_tokens_map.json"));
  if (!config->bos_token)
    RETURN_IF_ERROR(ReadToken(object, "bos_token", &config->bos_token));
  if (!config->eos_token)
    RETURN_IF_ERROR(ReadToken(object, "eos_token", &config->eos_token));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerConfig> ReadTokenizerConfig(
    std::string_view tokenizer_config, std::string_view special_tokens_map) {
  TokenizerConfig config;
  if (!tokenizer_config.empty())
    RETURN_IF_ERROR(ReadConfig(tokenizer_config, &config));
  if (!special_tokens_map.empty())
    RETURN_IF_ERROR(ReadMap(special_tokens_map, &config));
  return config;
}

}  // namespace quatrain
