// Every row of the architecture table against PyTorch and Transformers in
// float32 (goldens/, made by make_goldens.py), and as a negative control each
// of its features switched off or changed alone. Prints the table that
// docs/numbers.md quotes.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/random_checkpoint.h"
#include "worker/local_driver.h"
#include "worker/local_group.h"

namespace quatrain {
namespace {

using nlohmann::json;

// Largest difference of a log-probability, in standard deviations of the
// logits. Float products and sums in another order than PyTorch's:
constexpr double kF32Limit = 2e-4;
// 16-bit integer activations and contributions in steps of 2^-28:
constexpr double kExactLimit = 4e-3;
// What a feature must move, so that its test would see it missing:
constexpr double kControlLimit = 100 * kF32Limit;

json ReadJson(const std::string& path) {
  std::ifstream in(path);
  return json::parse(in);
}

std::vector<json> Rows() {
  const json table = ReadJson("tests/oracle/architectures.json");
  return {table["rows"].begin(), table["rows"].end()};
}

// The row with one feature switched off or changed.
json Spoil(json row, const std::string& control) {
  json& config = row["config"];
  if (control == "rope_theta") {
    config["rope_theta"] = config["rope_theta"].get<double>() * 2;
  } else if (control == "rope_scaling") {
    config.erase("rope_scaling");
    config["max_position_embeddings"] = 256;  // the prompt must still fit
  } else if (control == "rope_attention_factor") {
    config["rope_scaling"]["attention_factor"] = 1.0;
  } else if (control == "window") {
    if (config["model_type"] == "qwen2") config["use_sliding_window"] = false;
    config["sliding_window"] = nullptr;
  } else if (control == "eps") {
    config["rms_norm_eps"] = 1e-5;
  }
  return row;
}

class FidelityTest : public testing::TestWithParam<json> {
 protected:
  std::string MakeCheckpoint(const json& row, const std::string& control) {
    RandomCheckpointSpec spec = ReadRandomCheckpointSpec(Spoil(row, control));
    spec.zero_biases = control == "bias";
    spec.rotate_q_heads = control == "head_mapping";
    const std::string folder = testing::TempDir() + "fidelity-" +
                               row["name"].get<std::string>() + "-" + control;
    EXPECT_TRUE(WriteRandomCheckpoint(spec, folder).ok());
    return folder;
  }

  // Largest |log-probability - golden| / std over all positions.
  double LargestDifference(const json& row, const std::string& control,
                           const EngineSettings& settings) {
    const json golden = ReadJson("tests/oracle/goldens/" +
                                 row["name"].get<std::string>() + ".json");
    const std::string folder = MakeCheckpoint(row, control);
    const double largest = Compare(folder, golden, settings);
    std::filesystem::remove_all(folder);
    return largest / golden["logits_std"].get<double>();
  }

  double Compare(const std::string& folder, const json& golden,
                 const EngineSettings& settings) {
    auto group = LocalGroup::Start(folder, settings);
    EXPECT_TRUE(group.ok()) << group.status();
    if (!group.ok()) return INFINITY;
    LocalRequest request;
    request.prompt = golden["prompt"].get<std::vector<int32_t>>();
    request.num_tokens = 1;
    request.sampling = {.temperature = 0, .logprobs = true, .top_logprobs = 20};
    request.prompt_logprobs = true;
    request.prompt_top_logprobs = 20;
    const auto outputs =
        RunLocally(**group, {&request, 1}, {.chunk_tokens = 48});
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    if (!outputs.ok()) return INFINITY;
    return CompareOutput(outputs->front(), golden["positions"]);
  }

  // Position p of the golden holds what follows token p of the prompt.
  static double CompareOutput(const LocalOutput& output, const json& golden) {
    double largest = 0;
    const size_t last = golden.size() - 1;
    EXPECT_EQ(output.prompt_logprobs.size(), last);
    for (size_t p = 0; p < last; ++p) {
      largest = std::max(largest, std::abs(output.prompt_logprobs[p].logprob -
                                           golden[p]["next"].get<double>()));
    }
    for (size_t p = 0; p <= last; ++p) {
      const std::vector<TokenLogprob>& top =
          p < last ? output.prompt_top_logprobs[p] : output.top_logprobs[0];
      largest = std::max(largest, CompareTop(top, golden[p]));
    }
    return largest;
  }

  static double CompareTop(const std::vector<TokenLogprob>& top,
                           const json& golden) {
    double largest = 0;
    for (size_t i = 0; i < golden["top_ids"].size(); ++i) {
      const int id = golden["top_ids"][i];
      const auto found =
          std::find_if(top.begin(), top.end(),
                       [&](const TokenLogprob& t) { return t.token_id == id; });
      // Not even among our best 20: at most as probable as the last of them.
      const double ours = (found == top.end() ? top.back() : *found).logprob;
      const double wanted = golden["top"][i];
      largest = std::max(largest, std::abs(ours - wanted));
    }
    return largest;
  }
};

EngineSettings Settings(const std::string& backend, Activations activations) {
  EngineSettings settings;
  settings.backend = backend;
  settings.activations = activations;
  settings.kv_dtype = DType::kF32;
  settings.max_num_seqs = 1;
  settings.threads = 1;
  return settings;
}

TEST_P(FidelityTest, AgreesWithTransformersInF32) {
  const double f32 = LargestDifference(
      GetParam(), "", Settings("reference", Activations::kF32));
  std::printf("%-24s %-22s %.1e (limit %.0e)\n",
              GetParam()["name"].get<std::string>().c_str(), "f32", f32,
              kF32Limit);
  EXPECT_LE(f32, kF32Limit);
}

TEST_P(FidelityTest, AgreesWithTransformersByExactSums) {
  for (const std::string backend : {"reference", "cpu"}) {
    const double exact = LargestDifference(
        GetParam(), "", Settings(backend, Activations::kExact));
    std::printf("%-24s %-22s %.1e (limit %.0e)\n",
                GetParam()["name"].get<std::string>().c_str(),
                ("exact sums, " + backend).c_str(), exact, kExactLimit);
    EXPECT_LE(exact, kExactLimit);
  }
}

TEST_P(FidelityTest, WouldSeeEachFeatureMissing) {
  for (const std::string control : GetParam()["controls"]) {
    const double difference = LargestDifference(
        GetParam(), control, Settings("reference", Activations::kF32));
    std::printf("%-24s %-22s %.1e (at least %.0e)\n",
                GetParam()["name"].get<std::string>().c_str(),
                ("without " + control).c_str(), difference, kControlLimit);
    EXPECT_GE(difference, kControlLimit) << control;
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, FidelityTest, testing::ValuesIn(Rows()),
                         [](const auto& info) {
                           std::string name = info.param["name"];
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace quatrain
