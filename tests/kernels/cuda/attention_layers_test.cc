#include <set>
#include <vector>

#include "tests/kernels/cuda/attention_bounds.h"
#include "tests/kernels/cuda/attention_case.h"
#include "tests/kernels/cuda/rank_heads.h"
#include "tests/kernels/simt/runner.h"

// Both forms of attention on the heads of real models, cut over ranks evenly
// and unevenly: every layout of uses that a rank can have, each once.
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

// The last one attend() alone has.
constexpr QuatrainDType kTypes[] = {kQuatrainF16, kQuatrainInt8, kQuatrainBF16,
                                    kQuatrainFp8, kQuatrainF32};
constexpr int kCapabilities[] = {90, 80, 86};
constexpr int kSms[] = {2, 1, 20};

// attend() bit for bit, or attend_mma() within its bounds.
enum class Form { kExact, kMma };

void Expect(Form form, const AttendCase& c, const std::string& what) {
  if (form == Form::kExact)
    ExpectAttendsLikeReference(c, what);
  else
    ExpectWithinBounds(c, "mma " + what);
}

// A rank of `model`; what else a case says follows from its number.
AttendCase CaseOf(Form form, const Model& model,
                  const std::vector<QuatrainHeadUse>& uses, int number) {
  AttendCase c{.heads = uses, .dim = model.dim, .window = model.window};
  c.dtype = kTypes[number % (form == Form::kExact ? 5 : 4)];
  c.compute_capability = kCapabilities[(number + number / 3) % 3];
  c.num_sms = kSms[number / 3 % 3];
  return c;
}

// Few heads see many keys, many heads few, so that all take the same time.
int LongestOf(const std::vector<QuatrainHeadUse>& uses) {
  const int q_heads = uses.back().first_q_head + uses.back().count;
  return std::clamp(1100 / q_heads, 34, 550);
}

void CheckRank(Form form, const Model& model,
               const std::vector<QuatrainHeadUse>& uses, int number) {
  const int longest = LongestOf(uses);
  std::string what = std::string(model.name) + ":";
  for (const QuatrainHeadUse& use : uses)
    what += " " + std::to_string(use.count);
  AttendCase c = CaseOf(form, model, uses, number);
  c.sequences = {{longest - 1, 1}, {number % 40, 1}};
  c.stores = true;
  Expect(form, c, what + " decode");
  c.stores = false;
  c.sequences = {{longest / 2, 1}, {longest / 3, 5}, {0, 3}};
  Expect(form, c, what + " chunks");
}

void CheckModel(Form form, const Model& model) {
  std::set<std::vector<int>> seen;
  for (const std::vector<int>& shares : kShares)
    for (const std::vector<QuatrainHeadUse>& uses :
         RankHeads(model.q_heads, model.kv_heads, shares)) {
      std::vector<int> counts;
      for (const QuatrainHeadUse& use : uses) counts.push_back(use.count);
      if (counts.empty() || !seen.insert(counts).second) continue;
      CheckRank(form, model, uses, static_cast<int>(seen.size()));
    }
}

SIMT_TEST(LayersOfPrimes) {
  CheckModel(Form::kExact, {"smallest", 1, 1, 16});
  CheckModel(Form::kExact, {"prime", 13, 13, 48});
  CheckModel(Form::kExact, {"prime groups", 55, 5, 16});
  CheckModel(Form::kMma, {"smallest", 1, 1, 64});
  CheckModel(Form::kMma, {"prime groups", 55, 5, 64});
}

const Model k7B{"Llama-2-7B", 32, 32, 128};
const Model k7BInGroups{"Qwen2.5-7B", 28, 4, 128};
const Model k8B{"Mistral-7B", 32, 8, 128, 4096};
const Model k34B{"Yi-34B", 56, 8, 128};
const Model k70B{"Llama-2-70B", 64, 8, 128};
const Model k72B{"Qwen1.5-72B", 64, 64, 128};

SIMT_TEST(LayersOf7B) { CheckModel(Form::kExact, k7B); }
SIMT_TEST(LayersOf7BInGroups) { CheckModel(Form::kExact, k7BInGroups); }
SIMT_TEST(LayersOf8BWithAWindow) { CheckModel(Form::kExact, k8B); }
SIMT_TEST(LayersOf34B) { CheckModel(Form::kExact, k34B); }
SIMT_TEST(LayersOf70B) { CheckModel(Form::kExact, k70B); }
SIMT_TEST(LayersOf72B) { CheckModel(Form::kExact, k72B); }
SIMT_TEST(MmaLayersOf7B) { CheckModel(Form::kMma, k7B); }
SIMT_TEST(MmaLayersOf7BInGroups) { CheckModel(Form::kMma, k7BInGroups); }
SIMT_TEST(MmaLayersOf8BWithAWindow) { CheckModel(Form::kMma, k8B); }
SIMT_TEST(MmaLayersOf34B) { CheckModel(Form::kMma, k34B); }
SIMT_TEST(MmaLayersOf70B) { CheckModel(Form::kMma, k70B); }
SIMT_TEST(MmaLayersOf72B) { CheckModel(Form::kMma, k72B); }

SIMT_TEST(LayersWithOtherHeads) {
  for (const Form form : {Form::kExact, Form::kMma}) {
    CheckModel(form, {"phi-2", 32, 32, 80});
    CheckModel(form, {"Phi-3-mini", 32, 32, 96});
    CheckModel(form, {"Gemma-7B", 16, 16, 256});
    CheckModel(form, {"Gemma-2B", 8, 1, 256});
  }
}

// Beyond the window, which the layers above are shorter than.
SIMT_TEST(LayersPastTheWindow) {
  const std::vector<int> shares(16, 1);
  for (const Form form : {Form::kExact, Form::kMma}) {
    AttendCase c =
        CaseOf(form, k8B, RankHeads(k8B.q_heads, k8B.kv_heads, shares)[0], 0);
    c.sequences = {{4200, 1}, {4090, 9}};
    Expect(form, c, "past the window");
  }
}

}  // namespace
}  // namespace quatrain
