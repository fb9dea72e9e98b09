#include "model/model_config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/model/model_folder.h"

namespace quatrain {
namespace {

using testing::Each;
using testing::ElementsAre;

// A small config.json with some members replaced; a replacement of "absent"
// removes the member.
std::string ConfigWith(const nlohmann::json& changes) {
  nlohmann::json config = SmallLlama().config;
  for (const auto& [key, value] : changes.items()) {
    if (value == "absent") {
      config.erase(key);
    } else {
      config[key] = value;
    }
  }
  return config.dump();
}

ModelConfig Parse(const nlohmann::json& changes) {
  const auto config = ParseModelConfig(ConfigWith(changes), "config.json");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig{};
}

absl::Status StatusOf(const nlohmann::json& changes) {
  return ParseModelConfig(ConfigWith(changes), "c").status();
}

TEST(ModelConfigTest, ReadsAPlainLlama) {
  const ModelConfig config = Parse(nlohmann::json::object());
  EXPECT_EQ(config.architecture, "LlamaForCausalLM");
  EXPECT_EQ(config.vocab_size, 300);
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.intermediate_size, 160);
  EXPECT_EQ(config.num_layers, 2);
  EXPECT_EQ(config.num_q_heads, 4);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.rms_norm_eps, 1e-5);
  EXPECT_EQ(config.rope.theta, 10000);
  EXPECT_EQ(config.rope.kind, RopeKind::kNone);
  EXPECT_FALSE(config.qkv_bias || config.o_bias || config.mlp_bias);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.max_model_len, 128);
  EXPECT_THAT(config.sliding_window, ElementsAre(0, 0));
  ASSERT_TRUE(config.quantization.has_value());
  EXPECT_EQ(config.quantization->group_size, 32);
  EXPECT_EQ(config.mlp_group_size, 32);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2));
}

TEST(ModelConfigTest, FollowsTheFamilysDefaults) {
  const ModelConfig llama = Parse({{"num_key_value_heads", "absent"},
                                   {"rms_norm_eps", "absent"},
                                   {"max_position_embeddings", "absent"},
                                   {"rope_theta", "absent"}});
  EXPECT_EQ(llama.num_kv_heads, 4);
  EXPECT_EQ(llama.rms_norm_eps, 1e-6);
  EXPECT_EQ(llama.max_position_embeddings, 2048);
  const ModelConfig mistral = Parse({{"architectures", {"MistralForCausalLM"}},
                                     {"num_attention_heads", 8},
                                     {"num_key_value_heads", "absent"}});
  EXPECT_EQ(mistral.num_kv_heads, 8);
  EXPECT_THAT(mistral.sliding_window, Each(4096));
}

TEST(ModelConfigTest, BiasesFollowTheFamily) {
  const ModelConfig llama = Parse({{"attention_bias", true}});
  EXPECT_TRUE(llama.qkv_bias && llama.o_bias);
  EXPECT_FALSE(llama.mlp_bias);
  EXPECT_TRUE(Parse({{"mlp_bias", true}}).mlp_bias);
  const ModelConfig qwen = Parse({{"architectures", {"Qwen2ForCausalLM"}}});
  EXPECT_TRUE(qwen.qkv_bias);
  EXPECT_FALSE(qwen.o_bias || qwen.mlp_bias);
}

TEST(ModelConfigTest, MistralSlidesInAllLayersUnlessNull) {
  const nlohmann::json mistral = {"MistralForCausalLM"};
  EXPECT_THAT(Parse({{"architectures", mistral}, {"sliding_window", 16}})
                  .sliding_window,
              ElementsAre(16, 16));
  EXPECT_THAT(Parse({{"architectures", mistral}, {"sliding_window", nullptr}})
                  .sliding_window,
              ElementsAre(0, 0));
  EXPECT_THAT(Parse({{"sliding_window", 16}}).sliding_window,
              ElementsAre(0, 0));  // a Llama has none
}

TEST(ModelConfigTest, Qwen2SlidesInItsUpperLayersIfItSaysSo) {
  const auto windows = [](nlohmann::json changes) {
    changes["architectures"] = {"Qwen2ForCausalLM"};
    changes["num_hidden_layers"] = 4;
    return Parse(changes).sliding_window;
  };
  EXPECT_THAT(windows({{"sliding_window", 16}, {"max_window_layers", 1}}),
              ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(windows({{"use_sliding_window", true},
                       {"sliding_window", 16},
                       {"max_window_layers", 1}}),
              ElementsAre(0, 16, 16, 16));
  EXPECT_THAT(windows({{"use_sliding_window", true}, {"sliding_window", 16}}),
              ElementsAre(0, 0, 0, 0));  // from layer 28 on
  EXPECT_THAT(windows({{"use_sliding_window", true},
                       {"sliding_window", 16},
                       {"layer_types",
                        {"sliding_attention", "full_attention",
                         "sliding_attention", "full_attention"}}}),
              ElementsAre(16, 0, 16, 0));
}

TEST(ModelConfigTest, ReadsBothFormsOfRopeScaling) {
  const nlohmann::json llama3 = {{"rope_type", "llama3"},
                                 {"factor", 8.0},
                                 {"low_freq_factor", 1.0},
                                 {"high_freq_factor", 4.0},
                                 {"original_max_position_embeddings", 64}};
  const ModelConfig old_form = Parse({{"rope_scaling", llama3}});
  EXPECT_EQ(old_form.rope.kind, RopeKind::kLlama3);
  EXPECT_EQ(old_form.rope.original_max_position_embeddings, 64);
  EXPECT_EQ(old_form.max_model_len, 128);

  nlohmann::json parameters = llama3;
  parameters["rope_theta"] = 500000.0;
  const ModelConfig new_form =
      Parse({{"rope_parameters", parameters}, {"rope_theta", "absent"}});
  EXPECT_EQ(new_form.rope.kind, RopeKind::kLlama3);
  EXPECT_EQ(new_form.rope.theta, 500000);
  EXPECT_EQ(new_form.rope.factor, 8);

  const ModelConfig linear =
      Parse({{"rope_scaling", {{"type", "linear"}, {"factor", 4}}}});
  EXPECT_EQ(linear.rope.kind, RopeKind::kLinear);
  EXPECT_EQ(linear.max_model_len, 512);
  EXPECT_EQ(Parse({{"rope_scaling", {{"rope_type", "default"}}}}).rope.kind,
            RopeKind::kNone);
}

TEST(ModelConfigTest, YarnDerivesWhatIsNotStated) {
  const auto yarn = [](nlohmann::json scaling) {
    scaling["rope_type"] = "yarn";
    return Parse({{"rope_scaling", scaling}});
  };
  const ModelConfig stated = yarn({{"factor", 4}});
  EXPECT_EQ(stated.rope.original_max_position_embeddings, 128);
  EXPECT_NEAR(stated.rope.attention_factor, 1.138629436111989, 1e-15);
  EXPECT_EQ(stated.rope.beta_fast, 32);
  EXPECT_EQ(stated.rope.beta_slow, 1);
  EXPECT_TRUE(stated.rope.truncate);
  EXPECT_EQ(stated.max_model_len, 512);
  const ModelConfig implied = yarn({{"original_max_position_embeddings", 32}});
  EXPECT_EQ(implied.rope.factor, 4);
  EXPECT_EQ(implied.max_model_len, 128);
  EXPECT_NEAR(yarn({{"factor", 40}, {"mscale", 0.707}, {"mscale_all_dim", 1.0}})
                  .rope.attention_factor,
              0.9210423553163399, 1e-15);
  EXPECT_EQ(
      yarn({{"factor", 4}, {"attention_factor", 1.5}}).rope.attention_factor,
      1.5);
  EXPECT_FALSE(yarn({{"factor", 4}, {"truncate", false}}).rope.truncate);
}

TEST(ModelConfigTest, QuantizationTakesOldNamesAndAnyCase) {
  const ModelConfig config = Parse({{"quantization_config",
                                     {{"quant_method", "AWQ"},
                                      {"w_bit", 4},
                                      {"q_group_size", 64},
                                      {"version", "GEMM"},
                                      {"modules_to_not_convert", nullptr}}}});
  EXPECT_EQ(config.quantization->group_size, 64);
  EXPECT_EQ(config.quantization->version, "gemm");
  EXPECT_FALSE(
      Parse({{"quantization_config", "absent"}}).quantization.has_value());
}

TEST(ModelConfigTest, LegacyFilesCountWhereTheBlockIsMissing) {
  TempFolder folder;
  folder.Write("config.json", ConfigWith({{"quantization_config", "absent"}}));
  folder.Write("quantize_config.json", R"({"q_group_size": 64, "w_bit": 4})");
  EXPECT_EQ(LoadModelConfig(folder.path())->quantization->group_size, 64);
  folder.Write("quant_config.json",
               R"({"zero_point": true, "q_group_size": 16, "w_bit": 4,
                   "version": "GEMM"})");
  EXPECT_EQ(LoadModelConfig(folder.path())->quantization->group_size, 16);
  folder.Write("config.json", ConfigWith(nlohmann::json::object()));
  EXPECT_EQ(LoadModelConfig(folder.path())->quantization->group_size, 32);
}

TEST(ModelConfigTest, WithoutConfigIsNotFound) {
  TempFolder folder;
  const absl::Status status = LoadModelConfig(folder.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(MessageOf(status), folder.Path("config.json") + ": no such file");
}

struct BadConfig {
  nlohmann::json changes;
  std::string message;
};

void PrintTo(const BadConfig& bad, std::ostream* out) { *out << bad.message; }

class InvalidConfigTest : public testing::TestWithParam<BadConfig> {};

TEST_P(InvalidConfigTest, IsRefused) {
  const absl::Status status = StatusOf(GetParam().changes);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(status), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Dimensions, InvalidConfigTest,
    testing::Values(
        BadConfig{{{"architectures", "absent"}},
                  "c: \"architectures\" is missing, expected a list of one "
                  "name"},
        BadConfig{{{"architectures", nlohmann::json::array({1})}},
                  "c: \"architectures\" is [1], expected a list of one name"},
        BadConfig{{{"num_hidden_layers", 0}},
                  "c: \"num_hidden_layers\" is 0, expected an integer in "
                  "1..1024"},
        BadConfig{{{"num_hidden_layers", 1025}},
                  "c: \"num_hidden_layers\" is 1025, expected an integer in "
                  "1..1024"},
        BadConfig{{{"num_hidden_layers", "2"}},
                  "c: \"num_hidden_layers\" is \"2\", expected an integer in "
                  "1..1024"},
        BadConfig{{{"num_hidden_layers", 2.0}},
                  "c: \"num_hidden_layers\" is 2.0, expected an integer in "
                  "1..1024"},
        BadConfig{{{"hidden_size", "absent"}},
                  "c: \"hidden_size\" is missing, expected an integer in "
                  "8..65536"},
        BadConfig{{{"hidden_size", 1 << 20}},
                  "c: \"hidden_size\" is 1048576, expected an integer in "
                  "8..65536"},
        BadConfig{{{"hidden_size", 66}},
                  "c: \"hidden_size\" is 66, expected a multiple of "
                  "num_attention_heads 4, or head_dim to be given"},
        BadConfig{{{"hidden_size", 60}},
                  "c: head_dim 15, expected an even number (rotary embedding)"},
        BadConfig{{{"head_dim", 15}},
                  "c: head_dim 15, expected an even number (rotary embedding)"},
        BadConfig{{{"vocab_size", 1}},
                  "c: \"vocab_size\" is 1, expected an integer in 2..4000000"},
        BadConfig{{{"intermediate_size", -5}},
                  "c: \"intermediate_size\" is -5, expected an integer in "
                  "8..1048576"},
        BadConfig{{{"num_key_value_heads", 3}},
                  "c: \"num_key_value_heads\" is 3, expected a divisor of "
                  "num_attention_heads 4"},
        BadConfig{{{"max_position_embeddings", 1 << 25}},
                  "c: \"max_position_embeddings\" is 33554432, expected an "
                  "integer in 1..16777216"},
        BadConfig{{{"rms_norm_eps", 0}},
                  "c: \"rms_norm_eps\" is 0, expected a number in 1e-30..1"},
        BadConfig{{{"tie_word_embeddings", 1}},
                  "c: \"tie_word_embeddings\" is 1, expected true or false"},
        BadConfig{{{"eos_token_id", 300}},
                  "c: \"eos_token_id\" is 300, expected a token id below "
                  "vocab_size 300 or a list of them"},
        BadConfig{{{"bos_token_id", -1}},
                  "c: \"bos_token_id\" is -1, expected a token id below "
                  "vocab_size 300 or a list of them"}));

INSTANTIATE_TEST_SUITE_P(
    Rope, InvalidConfigTest,
    testing::Values(
        BadConfig{{{"rope_theta", 0}},
                  "c: \"rope_theta\" is 0, expected a number in 1e-30..1e+15"},
        BadConfig{{{"rope_scaling", "linear"}},
                  "c: rope_scaling: is \"linear\", expected an object"},
        BadConfig{{{"rope_scaling", {{"type", "linear"}}}},
                  "c: rope_scaling: \"factor\" is missing, expected a number "
                  "in 1..65536"},
        BadConfig{{{"rope_scaling", {{"type", "linear"}, {"factor", 0.5}}}},
                  "c: rope_scaling: \"factor\" is 0.5, expected a number in "
                  "1..65536"},
        BadConfig{
            {{"rope_scaling", {{"type", "linear"}, {"rope_type", "yarn"}}}},
            "c: rope_scaling: \"type\" is \"linear\" but \"rope_type\" "
            "is \"yarn\""},
        BadConfig{{{"rope_scaling",
                    {{"rope_type", "llama3"},
                     {"factor", 8},
                     {"low_freq_factor", 4},
                     {"high_freq_factor", 4},
                     {"original_max_position_embeddings", 64}}}},
                  "c: rope_scaling: \"high_freq_factor\" is 4, expected more "
                  "than low_freq_factor"},
        BadConfig{{{"rope_scaling", {{"type", "linear"}, {"factor", 2}}},
                   {"rope_parameters", {{"rope_type", "default"}}}},
                  "c: rope_scaling and rope_parameters contradict"}));

INSTANTIATE_TEST_SUITE_P(
    Windows, InvalidConfigTest,
    testing::Values(
        BadConfig{
            {{"architectures", {"MistralForCausalLM"}}, {"sliding_window", 0}},
            "c: \"sliding_window\" is 0, expected an integer in "
            "1..16777216"},
        BadConfig{{{"architectures", {"Qwen2ForCausalLM"}},
                   {"layer_types", {"full_attention"}}},
                  "c: \"layer_types\" is [\"full_attention\"], expected a list "
                  "of 2 times \"full_attention\" or \"sliding_attention\""}));

INSTANTIATE_TEST_SUITE_P(
    Quantization, InvalidConfigTest,
    testing::Values(
        BadConfig{{{"quantization_config", {{"group_size", 48}}}},
                  "c: quantization_config: \"group_size\" is 48, expected one "
                  "of -1, 16, 32, 64, 128, 256, 512, 1024"},
        BadConfig{{{"quantization_config", {{"version", "new"}}}},
                  "c: quantization_config: \"version\" is \"new\", expected "
                  "one of gemm, gemv, gemv_fast, marlin, exllama, ipex, "
                  "llm-awq"},
        BadConfig{{{"quantization_config", {{"zero_point", "yes"}}}},
                  "c: quantization_config: \"zero_point\" is \"yes\", expected "
                  "true or false"},
        BadConfig{{{"quantization_config", nlohmann::json::array()}},
                  "c: quantization_config: is [], expected an object"}));

class UnimplementedConfigTest : public testing::TestWithParam<BadConfig> {};

TEST_P(UnimplementedConfigTest, IsRefusedByNameWithWhatWorks) {
  const absl::Status status = StatusOf(GetParam().changes);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(MessageOf(status), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Features, UnimplementedConfigTest,
    testing::Values(
        BadConfig{{{"architectures", {"GPT2LMHeadModel"}}},
                  "c: architecture GPT2LMHeadModel does not work here; those "
                  "that do: LlamaForCausalLM, MistralForCausalLM, "
                  "Qwen2ForCausalLM"},
        BadConfig{{{"hidden_act", "gelu"}},
                  "c: hidden_act \"gelu\" does not work here, expected "
                  "\"silu\""},
        BadConfig{{{"partial_rotary_factor", 0.5}},
                  "c: partial_rotary_factor 0.5 does not work here, expected "
                  "1"},
        BadConfig{{{"rope_scaling", {{"rope_type", "dynamic"}}}},
                  "c: rope_scaling: rope scaling \"dynamic\" does not work "
                  "here; those that do: default, linear, llama3, yarn"},
        BadConfig{{{"rope_parameters",
                    {{"full_attention", {{"rope_type", "default"}}}}}},
                  "c: rope_parameters: \"full_attention\": rope per kind of "
                  "layer does not work here"},
        BadConfig{{{"quantization_config", {{"quant_method", "gptq"}}}},
                  "c: quantization_config: quant_method \"gptq\" does not work "
                  "here, expected \"awq\""},
        BadConfig{
            {{"quantization_config", {{"quant_method", "awq"}, {"bits", 8}}}},
            "c: quantization_config: 8 bits do not work here, expected "
            "4"},
        BadConfig{{{"quantization_config", {{"desc_act", true}}}},
                  "c: quantization_config: desc_act true does not work here, "
                  "expected false"}));

TEST(ModelConfigTest, BrokenTextIsRefusedWithItsPlace) {
  EXPECT_EQ(MessageOf(ParseModelConfig("{\"a\": 1", "c").status()),
            "c: not valid JSON at line 1, column 8");
  EXPECT_EQ(
      MessageOf(ParseModelConfig(std::string(2 << 20, ' '), "c").status()),
      "c: 2097152 bytes, at most 1048576 are read");
}

TEST(ModelConfigTest, DescribesItselfInOneLine) {
  EXPECT_EQ(Describe(Parse(nlohmann::json::object())),
            "LlamaForCausalLM, num_layers 2, hidden_size 64, intermediate_size "
            "160, num_q_heads 4, num_kv_heads 2, head_dim 16, vocab_size 300, "
            "rope default theta 10000, context 128, AWQ 4 bits groups 32");
}

}  // namespace
}  // namespace quatrain
