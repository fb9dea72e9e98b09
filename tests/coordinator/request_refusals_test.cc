// Every row of the table of parameters in docs/api.md: the exact error for what
// is not accepted.

#include <ostream>
#include <string>

#include "coordinator/rich_status.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/coordinator/request_parsing.h"

namespace quatrain {
namespace {

std::string FieldOf(const absl::Status& status) {
  google::rpc::BadRequest detail;
  const auto payload =
      status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  if (!payload || !detail.ParseFromString(std::string(*payload))) return "";
  return detail.field_violations(0).field();
}

struct Refusal {
  std::string request;
  absl::StatusCode code;
  std::string reason;
  std::string field;
  std::string message;  // after "field: "
};

void PrintTo(const Refusal& refusal, std::ostream* out) {
  *out << refusal.request;
}

// A request that states no input gets one.
std::string WithInput(const std::string& request) {
  for (const char* input : {"text:", "token_ids {", "chat {"}) {
    if (request.starts_with(input)) return request;
  }
  return "text: 'x' " + request;
}

Refusal Invalid(const std::string& request, const std::string& field,
                const std::string& message) {
  return {WithInput(request), absl::StatusCode::kInvalidArgument,
          "INVALID_PARAMETER", field, message};
}

Refusal NotYet(const std::string& request, const std::string& field,
               const std::string& message) {
  return {WithInput(request), absl::StatusCode::kUnimplemented,
          "UNSUPPORTED_FEATURE", field, message};
}

std::string ManyBiases() {
  std::string biases;
  for (int i = 0; i < 1025; ++i)
    biases += " logit_bias { key: " + std::to_string(i) + " value: 1 }";
  return "sampling {" + biases + " }";
}

const Refusal kRefusals[] = {
    Invalid("sampling { temperature: -0.5 }", "sampling.temperature",
            "-0.5, accepted 0 for greedy, or 0.01..100"),
    Invalid("sampling { temperature: 100.5 }", "sampling.temperature",
            "100.5, accepted 0 for greedy, or 0.01..100"),
    Invalid("sampling { temperature: nan }", "sampling.temperature",
            "nan, accepted 0 for greedy, or 0.01..100"),
    Invalid("sampling { temperature: inf }", "sampling.temperature",
            "inf, accepted 0 for greedy, or 0.01..100"),
    Invalid("sampling { top_p: 0 }", "sampling.top_p",
            "0, accepted 0 < p <= 1"),
    Invalid("sampling { top_p: 1.5 }", "sampling.top_p",
            "1.5, accepted 0 < p <= 1"),
    Invalid("sampling { top_p: nan }", "sampling.top_p",
            "nan, accepted 0 < p <= 1"),
    Invalid("sampling { min_p: -0.1 }", "sampling.min_p",
            "-0.1, accepted 0..1"),
    NotYet("sampling { min_p: 0.1 }", "sampling.min_p",
           "0.1 does not work in this version; leave it unset, or 0"),
    Invalid("sampling { typical_p: 0 }", "sampling.typical_p",
            "0, accepted 0 < p <= 1"),
    NotYet("sampling { typical_p: 0.5 }", "sampling.typical_p",
           "0.5 does not work in this version; leave it unset, or 1"),
    Invalid("sampling { repetition_penalty: 0 }", "sampling.repetition_penalty",
            "0, accepted a finite number > 0"),
    Invalid("sampling { repetition_penalty: inf }",
            "sampling.repetition_penalty", "inf, accepted a finite number > 0"),
    NotYet("sampling { repetition_penalty: 1.1 }",
           "sampling.repetition_penalty",
           "1.1 does not work in this version; leave it unset, or 1"),
    Invalid("sampling { presence_penalty: 2.5 }", "sampling.presence_penalty",
            "2.5, accepted -2..2"),
    NotYet("sampling { presence_penalty: 1 }", "sampling.presence_penalty",
           "1 does not work in this version; leave it unset, or 0"),
    Invalid("sampling { frequency_penalty: -3 }", "sampling.frequency_penalty",
            "-3, accepted -2..2"),
    NotYet("sampling { frequency_penalty: -1 }", "sampling.frequency_penalty",
           "-1 does not work in this version; leave it unset, or 0"),
    Invalid("sampling { n: 0 }", "sampling.n", "0, accepted 1..16"),
    Invalid("sampling { n: 17 }", "sampling.n", "17, accepted 1..16"),
    Invalid("sampling { n: 2 temperature: 0 }", "sampling.n",
            "2 greedy choices would all be the same; set n to 1, or a "
            "temperature > 0"),
    NotYet("sampling { n: 2 }", "sampling.n",
           "2 does not work in this version; leave it unset, or 1"),
    Invalid("sampling { logit_bias { key: 260 value: 1 } }",
            "sampling.logit_bias", "token id 260, accepted 0..259"),
    Invalid("sampling { logit_bias { key: 1 value: 101 } }",
            "sampling.logit_bias", "101, accepted -100..100"),
    Invalid(ManyBiases(), "sampling.logit_bias",
            "1025 entries, at most 1024 are accepted"),
    NotYet("sampling { logit_bias { key: 1 value: 1 } }", "sampling.logit_bias",
           "1 entries: this does not work in this version; leave it empty"),
    Invalid("stopping { max_tokens: 0 }", "stopping.max_tokens",
            "0, accepted >= 1"),
    Invalid("stopping { max_tokens: 4 min_tokens: 5 }", "stopping.min_tokens",
            "5, accepted 0..4 (max_tokens)"),
    NotYet("stopping { min_tokens: 5 }", "stopping.min_tokens",
           "5 does not work in this version; leave it unset, or 0"),
    Invalid("stopping { " + Repeat("stop: 'a' ", 17) + "}", "stopping.stop",
            "17 strings, at most 16 are accepted"),
    Invalid("stopping { stop: 'a' stop: '' }", "stopping.stop[1]",
            "0 bytes, accepted 1..256"),
    Invalid("stopping { stop: '" + std::string(257, 'a') + "' }",
            "stopping.stop[0]", "257 bytes, accepted 1..256"),
    Invalid("stopping { " + Repeat("stop_token_ids: 1 ", 65) + "}",
            "stopping.stop_token_ids", "65 ids, at most 64 are accepted"),
    Invalid("stopping { stop_token_ids: 5 stop_token_ids: 260 }",
            "stopping.stop_token_ids[1]", "token id 260, accepted 0..259"),
    Invalid("stopping { time_budget { seconds: -1 } }", "stopping.time_budget",
            "-1 s, accepted > 0"),
    NotYet("stopping { time_budget { nanos: 500000000 } }",
           "stopping.time_budget",
           "0.5 s does not work in this version; leave it unset"),
    Invalid("output { top_logprobs: 21 }", "output.top_logprobs",
            "21, accepted 0..20"),
    Invalid("output { prompt_logprobs: 21 }", "output.prompt_logprobs",
            "21, accepted 0..20"),
    NotYet("output { echo_prompt: true }", "output.echo_prompt",
           "true does not work in this version; leave it unset, or false"),
    Invalid("truncate_prompt_tokens: 0", "truncate_prompt_tokens",
            "0, accepted >= 1"),
    NotYet("resume_after_sequence: 3", "resume_after_sequence",
           "3 does not work in this version; leave it unset"),
    NotYet("chat { messages { role: 'user' content: 'x' } }", "chat",
           "chat input does not work in this version; send text or token_ids"),
    Invalid("token_ids { ids: 1 } add_special_tokens: true",
            "add_special_tokens",
            "true, but token_ids are taken as they are; leave it unset"),
    Invalid("token_ids { ids: 1 ids: 300 }", "token_ids.ids[1]",
            "token id 300, accepted 0..259"),
    Invalid("token_ids { }", "token_ids.ids",
            "no tokens, accepted at least one"),
    Invalid("text: '' add_special_tokens: false", "text",
            "no tokens, accepted at least one"),
};

class RefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(RefusalTest, NamesFieldValueAndWhatIsAccepted) {
  const Refusal& expected = GetParam();
  const absl::Status status = Parse(expected.request).status();
  EXPECT_EQ(status.code(), expected.code);
  EXPECT_EQ(status.message(), expected.field + ": " + expected.message);
  EXPECT_EQ(ErrorReason(status), expected.reason);
  EXPECT_EQ(FieldOf(status), expected.field);
}

INSTANTIATE_TEST_SUITE_P(All, RefusalTest, testing::ValuesIn(kRefusals));

TEST(RequestRefusalsTest, ARequestWithoutInput) {
  const absl::Status status = Parse("").status();
  EXPECT_EQ(status.message(), "input: none; set text or token_ids");
}

TEST(RequestRefusalsTest, APromptThatLeavesNoRoom) {
  const std::string text(63, 'a');  // and BOS: 64, the whole context
  const absl::Status status = Parse("text: '" + text + "'").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), "PROMPT_TOO_LONG");
  EXPECT_EQ(status.message(),
            "text: prompt has 64 tokens, the context holds 64 of prompt and "
            "output: shorten the prompt to 63 tokens, or set "
            "truncate_prompt_tokens");
  EXPECT_EQ(MetadataOf(status).at("prompt_tokens"), "64");
  EXPECT_EQ(MetadataOf(status).at("max_model_len"), "64");
  EXPECT_TRUE(Parse("text: '" + text.substr(1) + "'").ok());
}

TEST(RequestRefusalsTest, AnUnknownModel) {
  const absl::Status status = Parse("text: 'x' model: 'other'").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(),
            "model 'other' is not served; served: test-model, alias");
}

TEST(RequestRefusalsTest, ErrorsNeverQuoteThePrompt) {
  const absl::Status status =
      Parse("text: '" + Repeat("secret ", 40) + "'").status();
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.ToString().find("secret"), std::string::npos);
}

}  // namespace
}  // namespace quatrain
