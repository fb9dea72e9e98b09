#include <set>
#include <vector>

#include "tests/kernels/cuda/attention_case.h"
#include "tests/kernels/cuda/rank_heads.h"
#include "tests/kernels/simt/runner.h"

// Attention on the heads of real models, cut over ranks evenly and unevenly:
// every layout of uses that a rank can have, each once.
namespace quatrain {
namespace {

struct Model {
  const char* name;
  int q_heads, kv_heads, dim;
  int window = 0;
};

const std::vector<std::vector<int>> kShares = {
    {1},
    {1, 1},
    {1, 1, 1},
    {1, 1, 1, 1},
    {1, 1, 1, 1, 1},
    {1, 1, 1, 1, 1, 1, 1},
    {1, 1, 1, 1, 1, 1, 1, 1},
    // Unequal ones, some with a rank of one head or none.
    {3, 1},
    {5, 2, 1},
    {4, 3, 2, 1},
    {40, 1, 3},
};

constexpr QuatrainDType kTypes[] = {kQuatrainF16, kQuatrainInt8, kQuatrainBF16,
                                    kQuatrainF32};
constexpr int kCapabilities[] = {90, 80, 86};
constexpr int kSms[] = {2, 1, 20};

// A rank of `model`; what else a case says follows from its number.
AttendCase CaseOf(const Model& model, const std::vector<QuatrainHeadUse>& uses,
                  int number) {
  AttendCase c{.heads = uses, .dim = model.dim, .window = model.window};
  c.dtype = kTypes[number % 4];
  c.compute_capability = kCapabilities[number % 3];
  c.num_sms = kSms[number / 3 % 3];
  return c;
}

// Few heads see many keys, many heads few, so that all take the same time.
int LongestOf(const std::vector<QuatrainHeadUse>& uses) {
  const int q_heads = uses.back().first_q_head + uses.back().count;
  return std::clamp(1600 / q_heads, 40, 600);
}

void CheckRank(const Model& model, const std::vector<QuatrainHeadUse>& uses,
               int number) {
  const int longest = LongestOf(uses);
  std::string what = std::string(model.name) + ":";
  for (const QuatrainHeadUse& use : uses)
    what += " " + std::to_string(use.count);
  AttendCase c = CaseOf(model, uses, number);
  c.sequences = {{longest - 1, 1}, {number % 40, 1}};
  c.stores = true;
  ExpectAttendsLikeReference(c, what + " decode");
  c.stores = false;
  c.sequences = {{longest / 2, 1}, {longest / 3, 5}, {0, 3}};
  ExpectAttendsLikeReference(c, what + " chunks");
}

void CheckModel(const Model& model) {
  std::set<std::vector<int>> seen;
  for (const std::vector<int>& shares : kShares)
    for (const std::vector<QuatrainHeadUse>& uses :
         RankHeads(model.q_heads, model.kv_heads, shares)) {
      std::vector<int> counts;
      for (const QuatrainHeadUse& use : uses) counts.push_back(use.count);
      if (counts.empty() || !seen.insert(counts).second) continue;
      CheckRank(model, uses, static_cast<int>(seen.size()));
    }
}

SIMT_TEST(LayersOfPrimes) {
  CheckModel({"smallest", 1, 1, 16});
  CheckModel({"prime", 13, 13, 48});
  CheckModel({"prime groups", 55, 5, 16});
}
SIMT_TEST(LayersOfOneKvHeadPerQueryHead) {
  CheckModel({"Llama-2-7B", 32, 32, 128});
}
SIMT_TEST(LayersOf72BWithoutGroups) {
  CheckModel({"Qwen1.5-72B", 64, 64, 128});
}
SIMT_TEST(LayersOf34B) { CheckModel({"Yi-34B", 56, 8, 128}); }
SIMT_TEST(LayersOf70B) { CheckModel({"Llama-2-70B", 64, 8, 128}); }
SIMT_TEST(LayersOf8BWithAWindow) {
  CheckModel({"Mistral-7B", 32, 8, 128, 4096});
}
SIMT_TEST(LayersOfFourKvHeads) { CheckModel({"Qwen2.5-7B", 28, 4, 128}); }
SIMT_TEST(LayersWithHeadsOf80And96) {
  CheckModel({"phi-2", 32, 32, 80});
  CheckModel({"Phi-3-mini", 32, 32, 96});
}
SIMT_TEST(LayersWithHeadsOf256) {
  CheckModel({"Gemma-7B", 16, 16, 256});
  CheckModel({"Gemma-2B", 8, 1, 256});
}

// Beyond the window, which the layers above are shorter than.
SIMT_TEST(LayersPastTheWindow) {
  const Model model{"Mistral-7B", 32, 8, 128, 4096};
  const std::vector<int> shares(16, 1);
  AttendCase c = CaseOf(model, RankHeads(32, 8, shares)[0], 0);
  c.sequences = {{4200, 1}, {4090, 9}};
  ExpectAttendsLikeReference(c, "past the window");
}

}  // namespace
}  // namespace quatrain
