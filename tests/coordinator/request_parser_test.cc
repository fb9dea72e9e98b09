// Every row of the table of parameters in docs/api.md: what is accepted, and
// what it means. request_refusals_test.cc has the rest.

#include "coordinator/request_parser.h"

#include <limits>
#include <string>
#include <vector>

#include "coordinator/parameter_checks.h"
#include "gtest/gtest.h"
#include "tests/coordinator/request_parsing.h"

namespace quatrain {
namespace {

TEST(RequestParserTest, DefaultsOfTheEngine) {
  const GenerationRequest request = Accepted("text: 'hi'");
  EXPECT_EQ(request.prompt_token_ids, (std::vector<int32_t>{kBos, 'h', 'i'}));
  EXPECT_EQ(request.temperature, 1.0f);
  EXPECT_EQ(request.top_p, 1.0f);
  EXPECT_EQ(request.top_k, 0);
  EXPECT_FALSE(request.logprobs);
  EXPECT_EQ(request.top_logprobs, 0);
  EXPECT_FALSE(request.prompt_logprobs.has_value());
  EXPECT_GE(request.max_tokens, 64 - 3);  // the context ends it
  EXPECT_EQ(request.eos_token_ids, std::vector<int32_t>{kEos});
  EXPECT_EQ(request.priority, 0);
}

TEST(RequestParserTest, StatedValuesArrive) {
  const GenerationRequest request = Accepted(
      "token_ids { ids: 7 ids: 8 } priority: -3 "
      "sampling { temperature: 0.7 top_p: 0.9 top_k: 40 seed: 12345678901 } "
      "stopping { max_tokens: 9 stop_token_ids: 10 ignore_eos: true } "
      "output { top_logprobs: 20 prompt_logprobs: 0 }");
  EXPECT_EQ(request.prompt_token_ids, (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(request.priority, -3);
  EXPECT_EQ(request.temperature, 0.7f);
  EXPECT_EQ(request.top_p, 0.9f);
  EXPECT_EQ(request.top_k, 40);
  EXPECT_EQ(request.seed, 12345678901u);
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(request.stop_token_ids, std::vector<int32_t>{10});
  EXPECT_TRUE(request.eos_token_ids.empty());
  EXPECT_TRUE(request.logprobs);
  EXPECT_EQ(request.top_logprobs, 20);
  EXPECT_EQ(request.prompt_logprobs, 0);
}

TEST(RequestParserTest, NeutralValuesPass) {
  Accepted(
      "text: 'x' add_special_tokens: true model: 'alias' "
      "sampling { min_p: 0 typical_p: 1 repetition_penalty: 1 "
      "presence_penalty: 0 frequency_penalty: 0 n: 1 } "
      "stopping { min_tokens: 0 ignore_eos: false "
      "include_stop_in_output: false } "
      "output { return_text: true return_token_ids: false logprobs: false "
      "top_logprobs: 0 skip_special_tokens: true echo_prompt: false }");
}

TEST(RequestParserTest, EdgesOfTheRanges) {
  EXPECT_EQ(Accepted("text: 'x' sampling { temperature: 0 }").temperature, 0);
  EXPECT_EQ(Accepted("text: 'x' sampling { temperature: -0.0 }").temperature,
            0);
  EXPECT_EQ(Accepted("text: 'x' sampling { temperature: 1e-5 }").temperature,
            0.01f);
  EXPECT_EQ(Accepted("text: 'x' sampling { temperature: 100 }").temperature,
            100);
  EXPECT_EQ(Accepted("text: 'x' sampling { top_p: 1 }").top_p, 1);
  EXPECT_EQ(Accepted("text: 'x' sampling { top_k: 259 }").top_k, 259);
  EXPECT_EQ(Accepted("text: 'x' sampling { top_k: 260 }").top_k, 0);
  EXPECT_EQ(Accepted("text: 'x' sampling { top_k: 4294967295 }").top_k, 0);
  EXPECT_EQ(
      Accepted("text: 'x' stopping { max_tokens: 4294967295 }").max_tokens,
      std::numeric_limits<int>::max());
  Accepted("text: 'x' stopping { " + Repeat("stop: 'a' ", 16) + "}");
  Accepted("text: 'x' stopping { stop: '" + std::string(256, 'a') + "' }");
  Accepted("text: 'x' stopping { " + Repeat("stop_token_ids: 259 ", 64) + "}");
}

TEST(RequestParserTest, TruncationKeepsTheEnd) {
  const GenerationRequest request =
      Accepted("text: 'abcdef' truncate_prompt_tokens: 2");
  EXPECT_EQ(request.prompt_token_ids, (std::vector<int32_t>{'e', 'f'}));
  EXPECT_EQ(
      Accepted("text: 'ab' truncate_prompt_tokens: 9").prompt_token_ids.size(),
      3u);
}

TEST(RequestParserTest, SeedsAreDrawnWhereNoneIsGiven) {
  EXPECT_NE(Accepted("text: 'x'").seed, Accepted("text: 'x'").seed);
  EXPECT_EQ(Accepted("text: 'x' sampling { seed: 0 }").seed, 0u);
}

class CheckpointDefaultsTest : public testing::Test {
 protected:
  CheckpointDefaultsTest() {
    model_.generation.temperature = 0.6;
    model_.generation.top_p = 0.8;
    model_.generation.top_k = 20;
    model_.generation.max_new_tokens = 12;
    model_.generation.eos_token_ids = {1, 2};
  }
  ServedModel model_ = MakeTestModel(&TestTokenizer());
};

TEST_F(CheckpointDefaultsTest, FillWhatTheRequestLeavesOpen) {
  const auto parsed = Parse(Request("text: 'x'"), model_);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->generation.temperature, 0.6f);
  EXPECT_EQ(parsed->generation.top_p, 0.8f);
  EXPECT_EQ(parsed->generation.top_k, 20);
  EXPECT_EQ(parsed->generation.max_tokens, 12);
  EXPECT_EQ(parsed->generation.eos_token_ids, (std::vector<int32_t>{1, 2}));
}

TEST_F(CheckpointDefaultsTest, TheRequestWins) {
  const auto parsed =
      Parse(Request("text: 'x' sampling { temperature: 0 top_p: 1 top_k: 0 } "
                    "stopping { max_tokens: 5 }"),
            model_);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->generation.temperature, 0);
  EXPECT_EQ(parsed->generation.top_p, 1);
  EXPECT_EQ(parsed->generation.top_k, 0);
  EXPECT_EQ(parsed->generation.max_tokens, 5);
}

TEST_F(CheckpointDefaultsTest, CanBeSwitchedOff) {
  model_.use_generation_defaults = false;
  const auto parsed = Parse(Request("text: 'x'"), model_);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->generation.temperature, 1);
  EXPECT_EQ(parsed->generation.top_k, 0);
  EXPECT_EQ(parsed->generation.eos_token_ids, (std::vector<int32_t>{1, 2}));
}

TEST_F(CheckpointDefaultsTest, TheTokenizersEosEndsATextToo) {
  const auto tokenizer = MakeTestTokenizer(R"({"eos_token": "</s>"})");
  model_.tokenizer = tokenizer.get();
  const auto parsed = Parse(Request("text: 'x'"), model_);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->generation.eos_token_ids,
            (std::vector<int32_t>{1, 2, kEos}));
  EXPECT_EQ(parsed->response.ending_token_ids,
            (std::vector<int32_t>{1, 2, kEos}));
}

TEST_F(CheckpointDefaultsTest, ATemperatureThatNoRequestMayHave) {
  model_.generation.temperature = 500;
  EXPECT_EQ(ResolveDefaults(model_).status().message(),
            "generation_config.json: temperature: 500, accepted 0..100; "
            "--generation-config none ignores the file");
}

TEST(OutputCapTest, CapsWhatIsOpenAndRefusesMore) {
  const ServedModel model = MakeTestModel(&TestTokenizer());
  const auto open = Parse(Request("text: 'x'"), model, 10);
  ASSERT_TRUE(open.ok());
  EXPECT_EQ(open->generation.max_tokens, 10);
  const absl::Status status =
      Parse(Request("text: 'x' stopping { max_tokens: 11 }"), model, 10)
          .status();
  EXPECT_EQ(status.message(),
            "stopping.max_tokens: 11, accepted 1..10 (--max-output-tokens)");
}

TEST(RequestIdTest, Rules) {
  EXPECT_TRUE(CheckRequestId("A-z0.9_:").ok());
  EXPECT_TRUE(CheckRequestId(std::string(128, 'a')).ok());
  EXPECT_EQ(CheckRequestId("").message(),
            "request_id: '', accepted 1..128 of A-Z a-z 0-9 . _ : -");
  EXPECT_FALSE(CheckRequestId(std::string(129, 'a')).ok());
  EXPECT_FALSE(CheckRequestId("a b").ok());
  EXPECT_FALSE(CheckRequestId("\xc3\xa9").ok());
}

}  // namespace
}  // namespace quatrain
