#include "coordinator/parameter_checks.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/rich_status.h"

namespace quatrain {
namespace {

constexpr int kMaxLogitBias = 1024;
constexpr int kMaxStopStrings = 16;
constexpr size_t kMaxStopBytes = 256;
constexpr int kMaxStopTokenIds = 64;
constexpr uint32_t kMaxTopLogprobs = 20;

template <typename Value>
absl::Status Refuse(std::string_view field, Value value,
                    std::string_view accepted) {
  return InvalidParameter(
      field, absl::StrCat(value, ", accepted ", std::string(accepted)));
}

template <typename Value>
absl::Status NotYet(std::string_view field, Value value,
                    std::string_view neutral) {
  return UnsupportedField(
      field, absl::StrCat(value, " does not work in this version; leave it ",
                          std::string(neutral)));
}

absl::Status CheckTemperature(const v1::SamplingParams& sampling) {
  const float t = sampling.temperature();
  if (!sampling.has_temperature() || (t >= 0 && t <= 100))
    return absl::OkStatus();
  return Refuse("sampling.temperature", t, "0 for greedy, or 0.01..100");
}

// A number with a neutral value that alone works today.
struct NeutralOnly {
  const char* field;
  bool set;
  float value;
  bool in_range;
  const char* accepted;
  float neutral;
};

absl::Status Check(const NeutralOnly& check) {
  if (!check.set) return absl::OkStatus();
  if (!check.in_range) return Refuse(check.field, check.value, check.accepted);
  if (check.value == check.neutral) return absl::OkStatus();
  return NotYet(check.field, check.value,
                absl::StrCat("unset, or ", check.neutral));
}

bool Within(float value, float low, float high) {
  return value >= low && value <= high;
}

absl::Status CheckNeutralFilters(const v1::SamplingParams& s) {
  RETURN_IF_ERROR(Check({"sampling.min_p", s.has_min_p(), s.min_p(),
                         Within(s.min_p(), 0, 1), "0..1", 0}));
  return Check({"sampling.typical_p", s.has_typical_p(), s.typical_p(),
                s.typical_p() > 0 && s.typical_p() <= 1, "0 < p <= 1", 1});
}

absl::Status CheckPenalties(const v1::SamplingParams& s) {
  const float repetition = s.repetition_penalty();
  RETURN_IF_ERROR(Check(
      {"sampling.repetition_penalty", s.has_repetition_penalty(), repetition,
       repetition > 0 && std::isfinite(repetition), "a finite number > 0", 1}));
  RETURN_IF_ERROR(Check({"sampling.presence_penalty", s.has_presence_penalty(),
                         s.presence_penalty(),
                         Within(s.presence_penalty(), -2, 2), "-2..2", 0}));
  return Check({"sampling.frequency_penalty", s.has_frequency_penalty(),
                s.frequency_penalty(), Within(s.frequency_penalty(), -2, 2),
                "-2..2", 0});
}

absl::Status CheckChoices(const v1::SamplingParams& sampling, float temperature,
                          int max_choices) {
  if (!sampling.has_n() || sampling.n() == 1) return absl::OkStatus();
  const uint32_t n = sampling.n();
  if (n == 0 || n > static_cast<uint32_t>(max_choices))
    return Refuse("sampling.n", n, absl::StrCat("1..", max_choices));
  if (temperature == 0) {
    return InvalidParameter(
        "sampling.n", absl::StrCat(n,
                                   " greedy choices would all be the same; "
                                   "set n to 1, or a temperature > 0"));
  }
  return NotYet("sampling.n", n, "unset, or 1");
}

absl::Status CheckLogitBias(const v1::SamplingParams& sampling,
                            int vocab_size) {
  constexpr char kField[] = "sampling.logit_bias";
  if (sampling.logit_bias().empty()) return absl::OkStatus();
  const auto& biases = sampling.logit_bias();
  if (biases.size() > kMaxLogitBias) {
    return InvalidParameter(
        kField, absl::StrCat(biases.size(), " entries, at most ", kMaxLogitBias,
                             " are accepted"));
  }
  for (const auto& [id, bias] : biases) {
    RETURN_IF_ERROR(CheckTokenId(kField, id, vocab_size));
    if (!Within(bias, -100, 100)) return Refuse(kField, bias, "-100..100");
  }
  return NotYet(kField, absl::StrCat(biases.size(), " entries: this"), "empty");
}

absl::Status CheckStopStrings(const v1::StoppingParams& stopping) {
  if (stopping.stop_size() > kMaxStopStrings) {
    return InvalidParameter(
        "stopping.stop",
        absl::StrCat(stopping.stop_size(), " strings, at most ",
                     kMaxStopStrings, " are accepted"));
  }
  for (int i = 0; i < stopping.stop_size(); ++i) {
    const size_t bytes = stopping.stop(i).size();
    if (bytes >= 1 && bytes <= kMaxStopBytes) continue;
    return InvalidParameter(
        absl::StrCat("stopping.stop[", i, "]"),
        absl::StrCat(bytes, " bytes, accepted 1..", kMaxStopBytes));
  }
  return absl::OkStatus();
}

absl::Status CheckStopTokenIds(const v1::StoppingParams& stopping,
                               int vocab_size) {
  if (stopping.stop_token_ids_size() > kMaxStopTokenIds) {
    return InvalidParameter(
        "stopping.stop_token_ids",
        absl::StrCat(stopping.stop_token_ids_size(), " ids, at most ",
                     kMaxStopTokenIds, " are accepted"));
  }
  for (int i = 0; i < stopping.stop_token_ids_size(); ++i) {
    RETURN_IF_ERROR(
        CheckTokenId(absl::StrCat("stopping.stop_token_ids[", i, "]"),
                     stopping.stop_token_ids(i), vocab_size));
  }
  return absl::OkStatus();
}

absl::Status CheckMaxTokens(const v1::StoppingParams& stopping,
                            int max_output_tokens) {
  if (!stopping.has_max_tokens()) return absl::OkStatus();
  if (stopping.max_tokens() == 0)
    return Refuse("stopping.max_tokens", 0, ">= 1");
  const uint32_t cap = static_cast<uint32_t>(max_output_tokens);
  if (cap == 0 || stopping.max_tokens() <= cap) return absl::OkStatus();
  return Refuse("stopping.max_tokens", stopping.max_tokens(),
                absl::StrCat("1..", cap, " (--max-output-tokens)"));
}

absl::Status CheckMinTokens(const v1::StoppingParams& stopping) {
  const uint32_t min_tokens = stopping.min_tokens();
  if (min_tokens == 0) return absl::OkStatus();
  if (stopping.has_max_tokens() && min_tokens > stopping.max_tokens()) {
    return Refuse("stopping.min_tokens", min_tokens,
                  absl::StrCat("0..", stopping.max_tokens(), " (max_tokens)"));
  }
  return NotYet("stopping.min_tokens", min_tokens, "unset, or 0");
}

absl::Status CheckTimeBudget(const v1::StoppingParams& stopping) {
  if (!stopping.has_time_budget()) return absl::OkStatus();
  const auto& budget = stopping.time_budget();
  const std::string value =
      absl::StrCat(budget.seconds() + 1e-9 * budget.nanos(), " s");
  if (budget.seconds() < 0 || budget.nanos() < 0 ||
      (budget.seconds() == 0 && budget.nanos() == 0))
    return Refuse("stopping.time_budget", value, "> 0");
  return NotYet("stopping.time_budget", value, "unset");
}

absl::Status CheckCount(std::string_view field, uint32_t count) {
  if (count <= kMaxTopLogprobs) return absl::OkStatus();
  return Refuse(field, count, absl::StrCat("0..", kMaxTopLogprobs));
}

absl::Status CheckInput(const v1::GenerateRequest& request) {
  switch (request.input_case()) {
    case v1::GenerateRequest::kText:
      return absl::OkStatus();
    case v1::GenerateRequest::kTokenIds:
      if (!request.add_special_tokens()) return absl::OkStatus();
      return InvalidParameter(
          "add_special_tokens",
          "true, but token_ids are taken as they are; leave it unset");
    case v1::GenerateRequest::kChat:
      return UnsupportedField("chat",
                              "chat input does not work in this version; send "
                              "text or token_ids");
    case v1::GenerateRequest::INPUT_NOT_SET:
      return InvalidParameter("input", "none; set text or token_ids");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSampling(const v1::SamplingParams& sampling,
                           float temperature, const ParameterLimits& limits) {
  RETURN_IF_ERROR(CheckTemperature(sampling));
  if (sampling.has_top_p() && !(sampling.top_p() > 0 && sampling.top_p() <= 1))
    return Refuse("sampling.top_p", sampling.top_p(), "0 < p <= 1");
  RETURN_IF_ERROR(CheckNeutralFilters(sampling));
  RETURN_IF_ERROR(CheckPenalties(sampling));
  RETURN_IF_ERROR(CheckChoices(sampling, temperature, limits.max_choices));
  return CheckLogitBias(sampling, limits.vocab_size);
}

absl::Status CheckStopping(const v1::StoppingParams& stopping,
                           const ParameterLimits& limits) {
  RETURN_IF_ERROR(CheckMaxTokens(stopping, limits.max_output_tokens));
  RETURN_IF_ERROR(CheckMinTokens(stopping));
  RETURN_IF_ERROR(CheckStopStrings(stopping));
  RETURN_IF_ERROR(CheckStopTokenIds(stopping, limits.vocab_size));
  return CheckTimeBudget(stopping);
}

absl::Status CheckOutput(const v1::OutputOptions& output) {
  RETURN_IF_ERROR(CheckCount("output.top_logprobs", output.top_logprobs()));
  RETURN_IF_ERROR(
      CheckCount("output.prompt_logprobs", output.prompt_logprobs()));
  if (!output.echo_prompt()) return absl::OkStatus();
  return NotYet("output.echo_prompt", "true", "unset, or false");
}

absl::Status CheckRequestFields(const v1::GenerateRequest& request) {
  RETURN_IF_ERROR(CheckInput(request));
  if (request.has_truncate_prompt_tokens() &&
      request.truncate_prompt_tokens() == 0)
    return Refuse("truncate_prompt_tokens", 0, ">= 1");
  if (!request.has_resume_after_sequence()) return absl::OkStatus();
  return NotYet("resume_after_sequence", request.resume_after_sequence(),
                "unset");
}

absl::Status CheckTokenId(std::string_view field, uint32_t id, int vocab_size) {
  if (id < static_cast<uint32_t>(vocab_size)) return absl::OkStatus();
  return InvalidParameter(
      field, absl::StrCat("token id ", id, ", accepted 0..", vocab_size - 1));
}

absl::Status CheckRequestId(std::string_view request_id) {
  const auto allowed = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
           c == '_' || c == ':' || c == '-';
  };
  if (!request_id.empty() && request_id.size() <= 128 &&
      std::all_of(request_id.begin(), request_id.end(), allowed))
    return absl::OkStatus();
  return InvalidParameter(
      "request_id", absl::StrCat(Quoted(request_id),
                                 ", accepted 1..128 of A-Z a-z 0-9 . _ : -"));
}

}  // namespace quatrain
