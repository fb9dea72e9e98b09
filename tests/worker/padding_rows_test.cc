// Rows of the vocabulary that the tokenizer has no id for are never drawn, even
// where their logits are the largest.

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/random_checkpoint.h"
#include "tests/worker/local_prompts.h"
#include "worker/engine_settings.h"

namespace quatrain {
namespace {

// Three tiles. The ids end in the second: at tp 3 one rank can draw some of its
// rows, and one none.
constexpr int kIds = 500;
constexpr char kConfig[] = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "vocab_size": 700, "hidden_size": 128, "intermediate_size": 256,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
  "head_dim": 32, "hidden_act": "silu", "rms_norm_eps": 1e-5,
  "rope_theta": 10000.0, "max_position_embeddings": 64,
  "tie_word_embeddings": false, "torch_dtype": "float32"})";

// Makes the logits of all rows from kIds on 50 times what they are.
void RaisePadding(const std::string& path) {
  std::stringstream read;
  read << std::ifstream(path, std::ios::binary).rdbuf();
  std::string file = read.str();
  uint64_t header_size = 0;
  std::memcpy(&header_size, file.data(), 8);
  const auto header = nlohmann::json::parse(file.substr(8, header_size));
  const auto& head = header["lm_head.weight"];
  const size_t row = head["shape"][1].get<size_t>() * sizeof(float);
  const size_t data = 8 + header_size;
  for (size_t at = data + head["data_offsets"][0].get<size_t>() + kIds * row;
       at < data + head["data_offsets"][1].get<size_t>(); at += sizeof(float)) {
    float weight = 0;
    std::memcpy(&weight, &file[at], sizeof(float));
    weight *= 50;
    std::memcpy(&file[at], &weight, sizeof(float));
  }
  std::ofstream(path, std::ios::binary) << file;
}

struct PaddingCase {
  std::string backend;
  int tp = 1;
};

void PrintTo(const PaddingCase& padding, std::ostream* out) {
  *out << padding.backend << " tp " << padding.tp;
}

class PaddingRowsTest : public testing::TestWithParam<PaddingCase> {
 protected:
  static void SetUpTestSuite() {
    const absl::Status written = WriteRandomCheckpoint(
        {.config_json = kConfig, .dtype = "F32"}, Folder());
    ASSERT_TRUE(written.ok()) << written;
    RaisePadding(Folder() + "/model.safetensors");
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(Folder()); }
  static std::string Folder() {
    return testing::TempDir() + "padding_rows_model";
  }

  static std::vector<LocalOutput> Run(const PaddingCase& padding,
                                      int num_token_ids) {
    EngineSettings settings = TalesSettings();
    settings.backend = padding.backend;
    settings.layout =
        *MakeLayout({.tp = padding.tp, .pp = 1}, /*num_layers=*/2);
    settings.num_token_ids = num_token_ids;
    auto group = LocalGroup::Start(Folder(), settings);
    EXPECT_TRUE(group.ok()) << group.status();
    std::vector<LocalRequest> requests;
    for (const SamplingSetup& setup : std::vector<SamplingSetup>{
             {.temperature = 0},
             {.temperature = 1.5f, .seed = 1},
             {.temperature = 2, .top_k = 300, .seed = 2},
             {.temperature = 2, .top_p = 0.95f, .seed = 3}}) {
      requests.push_back({.prompt = {1, 2, 3},
                          .num_tokens = 40,
                          .sampling = setup,
                          .prompt_logprobs = true});
      requests.back().sampling.top_logprobs = 20;
    }
    auto outputs = RunLocally(**group, requests);
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return *std::move(outputs);
  }
};

TEST_P(PaddingRowsTest, AreNeverDrawnOrNamed) {
  const std::vector<LocalOutput> outputs = Run(GetParam(), kIds);
  for (const LocalOutput& output : outputs) {
    ASSERT_EQ(output.token_ids.size(), 40u);
    for (const int32_t id : output.token_ids) EXPECT_LT(id, kIds);
    for (const auto& step : output.top_logprobs) {
      ASSERT_EQ(step.size(), 20u);
      for (const TokenLogprob& top : step) EXPECT_LT(top.token_id, kIds);
    }
  }
  ExpectSame(outputs, Run({.backend = "reference"}, kIds));
  // Ranks count what can be drawn, so that greedy's choice is the first.
  for (const TokenLogprob& chosen : outputs[0].logprobs)
    EXPECT_EQ(chosen.rank, 1u);
}

// Without a limit their logits win: what the test above is about.
TEST_P(PaddingRowsTest, AreRowsLikeOthersWhereNobodySaysSo) {
  for (const LocalOutput& output : Run(GetParam(), 0))
    for (const int32_t id : output.token_ids) EXPECT_GE(id, kIds);
}

INSTANTIATE_TEST_SUITE_P(Cuts, PaddingRowsTest,
                         testing::Values(PaddingCase{"reference", 1},
                                         PaddingCase{"reference", 3},
                                         PaddingCase{"cpu", 1},
                                         PaddingCase{"cpu", 3}));

TEST(EngineConfigTest, SaysWhereTheTokenIdsEnd) {
  internal::v1::EngineConfig config;
  config.set_block_size(16);
  config.set_max_num_seqs(1);
  config.set_max_num_batched_tokens(1);
  config.set_max_model_len(1);
  config.set_num_micro_batches(1);
  config.set_plans_in_flight(1);
  config.set_kv_cache_dtype("f16");
  config.set_activations("exact");
  config.set_backend("cpu");
  EXPECT_EQ(ReadEngineConfig(config)->num_token_ids, 0);
  config.set_num_token_ids(151'665);
  EXPECT_EQ(ReadEngineConfig(config)->num_token_ids, 151'665);
  config.set_num_token_ids(uint32_t{1} << 31);
  EXPECT_EQ(ReadEngineConfig(config).status().message(),
            "config: num_token_ids is 2147483648, expected 1..1073741824");
}

}  // namespace
}  // namespace quatrain
