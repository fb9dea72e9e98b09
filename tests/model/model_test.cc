#include "model/model.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/model/model_folder.h"

namespace quatrain {
namespace {

std::string ErrorOf(const SmallLlama& small) {
  TempFolder folder;
  small.WriteTo(folder);
  return MessageOf(OpenModel(folder.path()).status());
}

TEST(OpenModelTest, OpensAFolder) {
  TempFolder folder;
  SmallLlama().WriteTo(folder);
  folder.Write("generation_config.json", R"({"eos_token_id": [2, 7]})");
  const auto model = OpenModel(folder.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->config.num_layers, 2);
  EXPECT_EQ(model->config.mlp_group_size, 32);
  EXPECT_THAT(model->generation.eos_token_ids, testing::ElementsAre(2, 7));
  EXPECT_EQ(DigestText(model->digest).size(), 16u);
}

TEST(OpenModelTest, OpensAnUnquantizedModel) {
  SmallLlama small;
  small.config.erase("quantization_config");
  TestTensors dense;
  for (const auto& [name, tensor] : small.tensors) {
    if (name.ends_with(".qweight")) {
      const std::string module = name.substr(0, name.size() - 8);
      dense[module + ".weight"] =
          F16Tensor({tensor.shape[1] * 8, tensor.shape[0]});
    } else if (!name.ends_with(".qzeros") && !name.ends_with(".scales")) {
      dense[name] = tensor;
    }
  }
  small.tensors = dense;
  EXPECT_EQ(ErrorOf(small), "");
}

TEST(OpenModelTest, TheTensorsDecideTheGroupSize) {
  SmallLlama small;
  small.config["quantization_config"]["group_size"] = 64;
  TempFolder folder;
  small.WriteTo(folder);
  EXPECT_EQ(OpenModel(folder.path())->config.mlp_group_size, 32);
  // One layer's down_proj unquantized: only multiples of 128 fit all layers.
  const std::string down = "model.layers.1.mlp.down_proj";
  for (const char* suffix : {".qweight", ".qzeros", ".scales"})
    small.tensors.erase(down + suffix);
  small.tensors[down + ".weight"] = F16Tensor({64, 160});
  small.WriteTo(folder);
  EXPECT_EQ(OpenModel(folder.path())->config.mlp_group_size, 0);
}

TEST(OpenModelTest, NamesTheTensorThatIsWrong) {
  SmallLlama small;
  small.config["intermediate_size"] = 192;
  EXPECT_EQ(ErrorOf(small),
            "model.layers.0.mlp.gate_proj.qweight: shape [64, 20], config.json "
            "implies [64, 24]");
  small = SmallLlama();
  small.config["vocab_size"] = 301;
  EXPECT_EQ(ErrorOf(small),
            "model.embed_tokens.weight: shape [300, 64], config.json implies "
            "[301, 64]");
  small = SmallLlama();
  small.config["num_hidden_layers"] = 3;
  EXPECT_EQ(ErrorOf(small),
            "model.layers.2.input_layernorm.weight: not in the "
            "checkpoint");
  small = SmallLlama();
  small.tensors.erase("lm_head.weight");
  EXPECT_EQ(ErrorOf(small),
            "lm_head: no weight in the checkpoint, neither "
            ".weight nor .qweight");
  small = SmallLlama();
  small.config["attention_bias"] = true;
  EXPECT_EQ(ErrorOf(small),
            "model.layers.0.self_attn.q_proj.bias: not in the checkpoint");
}

TEST(OpenModelTest, ATensorThatChangesTheOutputIsNotLeftOut) {
  SmallLlama small;
  small.tensors["model.layers.1.self_attn.q_norm.weight"] = F16Tensor({16});
  EXPECT_EQ(ErrorOf(small),
            "model.layers.1.self_attn.q_norm.weight: is in the checkpoint, "
            "LlamaForCausalLM has no place for it here");
  small = SmallLlama();
  small.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] =
      F16Tensor({8});
  EXPECT_EQ(ErrorOf(small), "");
}

TEST(OpenModelTest, TiedModelsNeedNoHead) {
  SmallLlama small;
  small.config["tie_word_embeddings"] = true;
  EXPECT_EQ(ErrorOf(small), "");
  small.tensors.erase("lm_head.weight");
  EXPECT_EQ(ErrorOf(small), "");
}

TEST(OpenModelTest, DigestTellsModelsApart) {
  TempFolder a, b, c;
  SmallLlama small;
  small.WriteTo(a);
  small.WriteTo(b);
  small.config["rms_norm_eps"] = 1e-6;
  small.WriteTo(c);
  EXPECT_EQ(OpenModel(a.path())->digest, OpenModel(b.path())->digest);
  EXPECT_NE(OpenModel(a.path())->digest, OpenModel(c.path())->digest);
}

TEST(OpenModelTest, OpensTheExample) {
  const auto model = OpenModel("examples/tales-8m-awq");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->config.mlp_group_size, 128);
  EXPECT_EQ(model->config.num_layers, 8);
}

}  // namespace
}  // namespace quatrain
