// The same bits whatever the cut: every layout against the single rank.

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/worker/local_prompts.h"

namespace quatrain {
namespace {

struct Cut {
  int tp = 1;
  int pp = 1;
  std::string shares;
  std::string layers;
};

void PrintTo(const Cut& cut, std::ostream* out) {
  *out << "tp " << cut.tp << " pp " << cut.pp << " " << cut.shares << " "
       << cut.layers;
}

EngineSettings SettingsOf(const Cut& cut) {
  EngineSettings settings = TalesSettings();
  settings.layout = LayoutOf(cut.tp, cut.pp, cut.shares, cut.layers);
  settings.num_micro_batches = cut.pp;
  return settings;
}

class LayoutTest : public testing::TestWithParam<Cut> {};

TEST_P(LayoutTest, GreedyTokensAndLogprobs) {
  // 8 prompts of 256 tokens: 2,048.
  const std::vector<LocalRequest> requests =
      Requests(8, 256, {.temperature = 0});
  static const auto* const single =
      new std::vector<LocalOutput>(RunOn(TalesSettings(), requests));
  ExpectSame(*single, RunOn(SettingsOf(GetParam()), requests));
}

TEST_P(LayoutTest, SeededDraws) {
  const std::vector<SamplingSetup> setups = {
      {.temperature = 1.1f, .seed = 11},
      {.temperature = 0.8f, .top_k = 40, .seed = 12},
      {.temperature = 0.9f, .top_p = 0.95f, .seed = 13}};
  std::vector<LocalRequest> requests;
  for (const SamplingSetup& setup : setups)
    for (LocalRequest& request : Requests(4, 125, setup))  // 500 each
      requests.push_back(std::move(request));
  static const auto* const single =
      new std::vector<LocalOutput>(RunOn(TalesSettings(), requests));
  ExpectSame(*single, RunOn(SettingsOf(GetParam()), requests));
}

std::vector<Cut> Cuts() {
  std::vector<Cut> cuts;
  for (const int tp : {1, 2, 3, 4})
    for (const int pp : {1, 2, 4})
      if (tp * pp > 1) cuts.push_back({tp, pp, "", ""});
  // Unequal stages, unequal shares, both where there are both; among them ranks
  // that have no heads, no MLP or no vocabulary.
  cuts.push_back({1, 2, "", "0-6;7-7"});
  cuts.push_back({1, 4, "", "0-0;1-3;4-4;5-7"});
  cuts.push_back({2, 1, "3,1", ""});
  cuts.push_back({2, 2, "3,1;1,7", "0-2;3-7"});
  cuts.push_back({2, 4, "1,3;1,0;5,2;1,1", "0-1;2-2;3-6;7-7"});
  cuts.push_back({3, 1, "1,0,5", ""});
  cuts.push_back({3, 2, "3,2,1;0,1,0", "0-0;1-7"});
  cuts.push_back({3, 4, "2,1,1;1,1,4;0,3,1;1,1,1", "0-3;4-4;5-5;6-7"});
  cuts.push_back({4, 1, "1,2,3,4", ""});
  cuts.push_back({4, 2, "4,1,1,2;0,1,0,3", "0-4;5-7"});
  cuts.push_back({4, 4, "1,2,3,4;4,3,2,1;1,1,1,1;0,0,1,9", "0-0;1-4;5-5;6-7"});
  cuts.push_back({5, 1, "", ""});
  cuts.push_back({7, 1, "", ""});
  return cuts;
}

INSTANTIATE_TEST_SUITE_P(Cuts, LayoutTest, testing::ValuesIn(Cuts()));

// Stages of different sizes: a residual goes to more, or fewer, ranks.
TEST(LayoutTest, StagesOfDifferentSizes) {
  const std::vector<LocalRequest> requests =
      Requests(4, 64, {.temperature = 0});
  const std::vector<LocalOutput> single = RunOn(TalesSettings(), requests);
  EngineSettings settings = TalesSettings();
  settings.layout.stages = {
      {{0, 3}, {1}}, {{3, 5}, {1, 1, 1}}, {{5, 8}, {2, 1}}};
  settings.num_micro_batches = 3;
  ExpectSame(single, RunOn(settings, requests));
}

}  // namespace
}  // namespace quatrain
