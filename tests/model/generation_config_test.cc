#include "model/generation_config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/model/model_folder.h"

namespace quatrain {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ModelConfig Config() {
  ModelConfig config;
  config.vocab_size = 1000;
  config.max_model_len = 4096;
  return config;
}

GenerationDefaults Parse(const std::string& text) {
  const auto defaults = ParseGenerationDefaults(text, "g.json", Config());
  EXPECT_TRUE(defaults.ok()) << defaults.status();
  return *defaults;
}

std::string ErrorOf(const std::string& text) {
  return MessageOf(ParseGenerationDefaults(text, "g.json", Config()).status());
}

TEST(GenerationDefaultsTest, OnlyStatedValuesAreSet) {
  const GenerationDefaults defaults = Parse(
      R"({"temperature": 0.6, "top_p": 0.9, "eos_token_id": [7, 9],
          "do_sample": true, "transformers_version": "4.51.3"})");
  EXPECT_EQ(defaults.temperature, 0.6);
  EXPECT_EQ(defaults.top_p, 0.9);
  EXPECT_EQ(defaults.top_k, std::nullopt);
  EXPECT_THAT(defaults.eos_token_ids, ElementsAre(7, 9));
  EXPECT_THAT(defaults.unsupported, IsEmpty());
}

TEST(GenerationDefaultsTest, NeutralSettingsAreNotNamed) {
  EXPECT_THAT(Parse(R"({"repetition_penalty": 1.0, "num_beams": 1,
                        "min_p": 0, "bad_words_ids": null,
                        "suppress_tokens": [], "no_repeat_ngram_size": 0,
                        "num_return_sequences": 1, "max_time": null,
                        "renormalize_logits": false, "max_length": 4096})")
                  .unsupported,
              IsEmpty());
}

TEST(GenerationDefaultsTest, WhatLlama2ShipsIsAppliedWhole) {
  const GenerationDefaults defaults = Parse(
      R"({"bos_token_id": 1, "do_sample": true, "eos_token_id": 2,
          "pad_token_id": 0, "temperature": 0.6, "max_length": 4096,
          "top_p": 0.9, "transformers_version": "4.31.0.dev0"})");
  EXPECT_EQ(defaults.temperature, 0.6);
  EXPECT_EQ(defaults.top_p, 0.9);
  EXPECT_THAT(defaults.unsupported, IsEmpty());
}

TEST(GenerationDefaultsTest, NoSamplingIsGreedyUnlessATemperatureIsStated) {
  const GenerationDefaults greedy = Parse(R"({"do_sample": false})");
  EXPECT_EQ(greedy.temperature, 0);
  EXPECT_THAT(greedy.unsupported, IsEmpty());
  EXPECT_EQ(Parse(R"({"do_sample": true})").temperature, std::nullopt);
  EXPECT_EQ(Parse("{}").temperature, std::nullopt);
  const GenerationDefaults both =
      Parse(R"({"do_sample": false, "temperature": 0.9})");
  EXPECT_EQ(both.temperature, 0.9);
  EXPECT_THAT(both.unsupported, ElementsAre("do_sample=false"));
}

TEST(GenerationDefaultsTest, WhatChangesNumberLengthOrTimeIsNamed) {
  EXPECT_THAT(
      Parse(R"({"num_return_sequences": 4, "max_time": 2.5,
                        "renormalize_logits": true, "token_healing": true,
                        "remove_invalid_values": true, "max_length": 20})")
          .unsupported,
      testing::UnorderedElementsAre(
          "num_return_sequences=4", "max_time=2.5", "renormalize_logits=true",
          "token_healing=true", "remove_invalid_values=true", "max_length=20"));
  // In Transformers max_new_tokens wins.
  EXPECT_THAT(Parse(R"({"max_length": 20, "max_new_tokens": 9})").unsupported,
              IsEmpty());
}

TEST(GenerationDefaultsTest, SettingsThatDoNotWorkAreNamedWithTheirValue) {
  const GenerationDefaults defaults = Parse(
      R"({"repetition_penalty": 1.05, "min_p": 0.1, "stop_strings": ["x"]})");
  EXPECT_THAT(defaults.unsupported,
              ElementsAre("min_p=0.1", "repetition_penalty=1.05",
                          "stop_strings=[\"x\"]"));
  EXPECT_EQ(defaults.repetition_penalty, 1.05);
}

TEST(GenerationDefaultsTest, WrongValuesAreRefusedByName) {
  EXPECT_EQ(ErrorOf("[]"), "g.json: is [], expected an object");
  EXPECT_EQ(ErrorOf(R"({"temperature": -1})"),
            "g.json: \"temperature\" is -1, expected a number in 0..10000");
  EXPECT_EQ(ErrorOf(R"({"top_p": 2})"),
            "g.json: \"top_p\" is 2, expected a number in 1e-30..1");
  EXPECT_EQ(ErrorOf(R"({"top_k": 1.5})"),
            "g.json: \"top_k\" is 1.5, expected an integer in 0..4000000");
  EXPECT_EQ(ErrorOf(R"({"eos_token_id": 1000})"),
            "g.json: \"eos_token_id\" is 1000, expected a token id below "
            "vocab_size 1000 or a list of them");
  EXPECT_EQ(ErrorOf(R"({"eos_token_id": [1, "x"]})"),
            "g.json: \"eos_token_id\" is [1,\"x\"], expected a token id below "
            "vocab_size 1000 or a list of them");
}

TEST(EosTokenIdsTest, TheFilesAndTheTokenizer) {
  ModelConfig config = Config();
  GenerationDefaults generation;
  EXPECT_THAT(EosTokenIds(config, generation, std::nullopt), IsEmpty());
  EXPECT_THAT(EosTokenIds(config, generation, 5), ElementsAre(5));
  config.eos_token_ids = {2};
  EXPECT_THAT(EosTokenIds(config, generation, 5), ElementsAre(2, 5));
  EXPECT_THAT(EosTokenIds(config, generation, 2), ElementsAre(2));
  generation.eos_token_ids = {7, 9};  // wins over config.json
  EXPECT_THAT(EosTokenIds(config, generation, 9), ElementsAre(7, 9));
  EXPECT_THAT(EosTokenIds(config, generation, 5), ElementsAre(7, 9, 5));
}

TEST(GenerationDefaultsTest, AFolderWithoutTheFileHasNone) {
  TempFolder folder;
  const auto defaults = LoadGenerationDefaults(folder.path(), Config());
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_EQ(defaults->temperature, std::nullopt);
}

}  // namespace
}  // namespace quatrain
