#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "model/config_parts.h"

namespace quatrain {
namespace {

constexpr int kGroupSizes[] = {-1, 16, 32, 64, 128, 256, 512, 1024};
// What version says is checked against nothing: exllama and ipex are choices
// made at run time, and the tensors tell the layouts apart.
constexpr const char* kVersions[] = {"gemm",    "gemv", "gemv_fast", "marlin",
                                     "exllama", "ipex", "llm-awq"};

// The value under its name or its alias of older files.
const nlohmann::json* FindEither(const JsonObject& json, const char* key,
                                 const char* alias, const char** found) {
  const nlohmann::json* value = json.Find(key);
  *found = value != nullptr ? key : alias;
  return value != nullptr ? value : json.Find(alias);
}

absl::Status CheckMethod(const JsonObject& json) {
  ASSIGN_OR_RETURN(const std::optional<std::string> method,
                   json.String("quant_method"));
  if (!method || absl::AsciiStrToLower(*method) == "awq")
    return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(json.what(), ": quant_method \"", method->substr(0, 60),
                   "\" does not work here, expected \"awq\""));
}

absl::StatusOr<int> ParseBits(const JsonObject& json) {
  const char* key;
  if (FindEither(json, "bits", "w_bit", &key) == nullptr) return 4;
  ASSIGN_OR_RETURN(const int bits, RequiredInt(json, key, 1, 16));
  if (bits == 4) return bits;
  return absl::UnimplementedError(absl::StrCat(
      json.what(), ": ", bits, " bits do not work here, expected 4"));
}

absl::StatusOr<int> ParseGroupSize(const JsonObject& json) {
  const char* key;
  const nlohmann::json* value =
      FindEither(json, "group_size", "q_group_size", &key);
  if (value == nullptr) return 128;
  if (value->is_number_integer()) {
    for (const int size : kGroupSizes)
      if (*value == size) return size;
  }
  return json.Wrong(key,
                    absl::StrCat("one of ", absl::StrJoin(kGroupSizes, ", ")));
}

absl::StatusOr<std::string> ParseVersion(const JsonObject& json) {
  const char* key;
  if (FindEither(json, "version", "format", &key) == nullptr) return "gemm";
  ASSIGN_OR_RETURN(const std::optional<std::string> text, json.String(key));
  const std::string version = absl::AsciiStrToLower(text.value_or(""));
  if (std::find(std::begin(kVersions), std::end(kVersions), version) ==
      std::end(kVersions))
    return json.Wrong(key,
                      absl::StrCat("one of ", absl::StrJoin(kVersions, ", ")));
  return version;
}

}  // namespace

absl::StatusOr<QuantizationConfig> ParseQuantization(
    const nlohmann::json& value, std::string_view what) {
  ASSIGN_OR_RETURN(const JsonObject json, JsonObject::Of(value, what));
  RETURN_IF_ERROR(CheckMethod(json));
  QuantizationConfig config;
  ASSIGN_OR_RETURN(config.bits, ParseBits(json));
  ASSIGN_OR_RETURN(config.group_size, ParseGroupSize(json));
  ASSIGN_OR_RETURN(config.zero_point, BoolOr(json, "zero_point", true));
  ASSIGN_OR_RETURN(config.version, ParseVersion(json));
  ASSIGN_OR_RETURN(const bool desc_act, BoolOr(json, "desc_act", false));
  if (desc_act) {
    return absl::UnimplementedError(absl::StrCat(
        json.what(), ": desc_act true does not work here, expected false"));
  }
  // Which modules are quantized the tensors say.
  LogUnknownKeys(
      json, {"modules_to_not_convert", "backend", "do_fuse", "fuse_max_seq_len",
             "modules_to_fuse", "exllama_config", "lm_head", "sym",
             "checkpoint_format", "meta", "provider"});
  return config;
}

}  // namespace quatrain
