#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/config_parts.h"

namespace quatrain {
namespace {

constexpr double kTiny = 1e-30;
constexpr double kMaxTheta = 1e15;
constexpr double kMaxFactor = 65536;
constexpr int kMaxContext = 16 << 20;

// "linear"; older files say `type`, newer ones `rope_type`.
absl::StatusOr<std::string> RopeType(const JsonObject& scaling) {
  ASSIGN_OR_RETURN(std::optional<std::string> type,
                   scaling.String("rope_type"));
  ASSIGN_OR_RETURN(const std::optional<std::string> old_type,
                   scaling.String("type"));
  if (type && old_type && *type != *old_type) {
    return absl::InvalidArgumentError(
        absl::StrCat(scaling.what(), ": \"type\" is \"", *old_type,
                     "\" but \"rope_type\" is \"", *type, "\""));
  }
  return type ? *type : old_type.value_or("default");
}

absl::StatusOr<double> RequiredFactor(const JsonObject& scaling,
                                      const std::string& key, double min) {
  ASSIGN_OR_RETURN(const std::optional<double> factor,
                   scaling.Number(key, min, kMaxFactor));
  if (!factor) {
    return scaling.Wrong(key,
                         absl::StrCat("a number in ", min, "..", kMaxFactor));
  }
  return *factor;
}

absl::Status ParseLlama3(const JsonObject& scaling, RopeConfig* rope) {
  ASSIGN_OR_RETURN(rope->factor, RequiredFactor(scaling, "factor", 1));
  ASSIGN_OR_RETURN(rope->low_freq_factor,
                   RequiredFactor(scaling, "low_freq_factor", kTiny));
  ASSIGN_OR_RETURN(rope->high_freq_factor,
                   RequiredFactor(scaling, "high_freq_factor", kTiny));
  ASSIGN_OR_RETURN(
      rope->original_max_position_embeddings,
      RequiredInt(scaling, "original_max_position_embeddings", 1, kMaxContext));
  if (rope->high_freq_factor <= rope->low_freq_factor) {
    return scaling.Wrong("high_freq_factor", "more than low_freq_factor");
  }
  return absl::OkStatus();
}

// What Transformers derives from mscale and mscale_all_dim.
double Magnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

absl::Status ParseYarn(const JsonObject& scaling, const ModelConfig& config,
                       RopeConfig* rope) {
  ASSIGN_OR_RETURN(rope->original_max_position_embeddings,
                   IntOr(scaling, "original_max_position_embeddings", 1,
                         kMaxContext, config.max_position_embeddings));
  const double implied = static_cast<double>(config.max_position_embeddings) /
                         rope->original_max_position_embeddings;
  ASSIGN_OR_RETURN(rope->factor,
                   NumberOr(scaling, "factor", 1, kMaxFactor, implied));
  ASSIGN_OR_RETURN(rope->beta_fast,
                   NumberOr(scaling, "beta_fast", 0, kMaxFactor, 32));
  ASSIGN_OR_RETURN(rope->beta_slow,
                   NumberOr(scaling, "beta_slow", 0, kMaxFactor, 1));
  if (rope->beta_fast == 0) rope->beta_fast = 32;  // as Transformers: "or 32"
  if (rope->beta_slow == 0) rope->beta_slow = 1;
  ASSIGN_OR_RETURN(rope->truncate, BoolOr(scaling, "truncate", true));
  ASSIGN_OR_RETURN(const double mscale,
                   NumberOr(scaling, "mscale", 0, kMaxFactor, 0));
  ASSIGN_OR_RETURN(const double mscale_all_dim,
                   NumberOr(scaling, "mscale_all_dim", 0, kMaxFactor, 0));
  const double derived = mscale != 0 && mscale_all_dim != 0
                             ? Magnitude(rope->factor, mscale) /
                                   Magnitude(rope->factor, mscale_all_dim)
                             : Magnitude(rope->factor, 1);
  ASSIGN_OR_RETURN(
      rope->attention_factor,
      NumberOr(scaling, "attention_factor", kTiny, kMaxFactor, derived));
  if (rope->theta <= 1)
    return scaling.Wrong("rope_theta", "more than 1 (yarn)");
  return absl::OkStatus();
}

absl::Status ParseScaling(const JsonObject& scaling, const ModelConfig& config,
                          RopeConfig* rope) {
  ASSIGN_OR_RETURN(const std::string type, RopeType(scaling));
  ASSIGN_OR_RETURN(rope->theta, NumberOr(scaling, "rope_theta", kTiny,
                                         kMaxTheta, rope->theta));
  ASSIGN_OR_RETURN(const double partial,
                   NumberOr(scaling, "partial_rotary_factor", 0, 1, 1));
  if (partial != 1) {
    return absl::UnimplementedError(
        absl::StrCat(scaling.what(), ": partial_rotary_factor ", partial,
                     " does not work here, expected 1"));
  }
  if (type == "default") return absl::OkStatus();
  if (type == "linear") {
    rope->kind = RopeKind::kLinear;
    ASSIGN_OR_RETURN(rope->factor, RequiredFactor(scaling, "factor", 1));
    return absl::OkStatus();
  }
  if (type == "llama3") {
    rope->kind = RopeKind::kLlama3;
    return ParseLlama3(scaling, rope);
  }
  if (type == "yarn") {
    rope->kind = RopeKind::kYarn;
    return ParseYarn(scaling, config, rope);
  }
  return absl::UnimplementedError(absl::StrCat(
      scaling.what(), ": rope scaling \"", type.substr(0, 60),
      "\" does not work here; those that do: default, linear, llama3, yarn"));
}

}  // namespace

absl::StatusOr<RopeConfig> ParseRope(const JsonObject& json,
                                     const ModelConfig& config) {
  RopeConfig rope;
  ASSIGN_OR_RETURN(rope.theta,
                   NumberOr(json, "rope_theta", kTiny, kMaxTheta, rope.theta));
  const nlohmann::json* old_form = json.Find("rope_scaling");
  const nlohmann::json* new_form = json.Find("rope_parameters");
  if (old_form != nullptr && new_form != nullptr && *old_form != *new_form) {
    return absl::InvalidArgumentError(absl::StrCat(
        json.what(), ": rope_scaling and rope_parameters contradict"));
  }
  const nlohmann::json* form = new_form != nullptr ? new_form : old_form;
  if (form == nullptr) return rope;
  const std::string what =
      absl::StrCat(json.what(), ": ",
                   new_form != nullptr ? "rope_parameters" : "rope_scaling");
  ASSIGN_OR_RETURN(const JsonObject scaling, JsonObject::Of(*form, what));
  RETURN_IF_ERROR(ParseScaling(scaling, config, &rope));
  for (const std::string& key : scaling.Unread()) {
    // One set of parameters per kind of layer.
    if (form->at(key).is_object()) {
      return absl::UnimplementedError(
          absl::StrCat(what, ": \"", key.substr(0, 60),
                       "\": rope per kind of layer does not work here"));
    }
  }
  LogUnknownKeys(scaling, {"finetuned"});
  return rope;
}

}  // namespace quatrain
