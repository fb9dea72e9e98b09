#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/exact_sum.h"
#include "kernels/solo_group.h"
#include "tests/kernels/reference_cases.h"
#include "tests/support/random.h"
#include "tests/support/thread_group.h"

namespace quatrain {
namespace {

TEST(ReferenceReduceAddTest, SumsRoundsAndAdds) {
  const auto backend = MakeBackend();
  HostMatrix<int64_t> partial(2, 3,
                              {ToFixed(1.5f), ToFixed(-2.0f), 0,  //
                               ToFixed(1.5f), ToFixed(-2.0f), 1});
  HostMatrix<float> residual(2, 2, {10.0f, 20.0f, 30.0f, 40.0f});
  SoloGroup group;
  backend->ReduceAdd(partial.view(), {.bias = {0.25f, 0.5f}}, group,
                     residual.view());
  EXPECT_EQ(residual.row(0)[0], 11.75f);
  EXPECT_EQ(residual.row(0)[1], 18.5f);
  EXPECT_TRUE(IsMarked(residual.row(1)[0]));
  HostMatrix<int64_t> zero(2, 3);
  backend->ReduceAdd(zero.view(), {}, group, residual.view());
  EXPECT_TRUE(IsMarked(residual.row(1)[1]));  // and stays so
  EXPECT_EQ(residual.row(0)[0], 11.75f);
}

TEST(ReferenceReduceAddTest, MarksOfOneRankReachAll) {
  TestGroup::RunRanks(3, [](TestGroup& group) {
    const auto backend = MakeBackend();
    HostMatrix<int64_t> partial(1, 2, {ToFixed(1.0f), group.rank() == 1});
    HostMatrix<float> residual(1, 1);
    backend->ReduceAdd(partial.view(), {}, group, residual.view());
    EXPECT_TRUE(IsMarked(residual.values()[0]));
  });
}

TEST(ReferenceEmbedTest, RanksAddUpToTheWholeTableBitForBit) {
  Random random(29);
  HostDense table(600, 8, DType::kBF16, {8}, 1.0f, random);
  table.Set(300, 3, -0.0f);
  const VocabSpec vocab{.vocab_size = 600, .rank_ends = {256, 256, 600}};
  TestGroup::RunRanks(3, [&](TestGroup& group) {
    const int begin = group.rank() > 0 ? vocab.rank_ends[group.rank() - 1] : 0;
    const HostDense mine =
        table.Slice(begin, vocab.rank_ends[group.rank()], 0, 8);
    const auto backend = MakeBackend();
    const auto linear = Pack(*backend, mine, LinearRole::kEmbed);
    const StepView& view =
        backend->BeginStep(PrefillStep({0, 300, 255, 256, 599}, 0, {0}));
    HostMatrix<float> residual(5, 8);
    backend->Embed(view, *linear, vocab, group, residual.view());
    for (int t = 0; t < 5; ++t)
      for (int d = 0; d < 8; ++d)
        EXPECT_EQ(std::bit_cast<uint32_t>(residual.row(t)[d]),
                  std::bit_cast<uint32_t>(table.Weight(view.token_ids[t], d)));
  });
}

TEST(ReferenceHeadTest, TakesTheWantedRowsThroughTheNorm) {
  Random random(30);
  const HostDense head(12, 64, DType::kF16, {64}, 0.1f, random);
  const auto backend = MakeBackend();
  const auto linear = Pack(*backend, head, LinearRole::kHead);
  const Norm norm{.weight = random.Normals(64)};
  HostMatrix<float> x(3, 64, random.Normals(3 * 64));
  HostMatrix<float> logits(2, 12);
  const std::vector<LogitsRow> rows = {{.token_index = 0}, {.token_index = 2}};
  backend->Head(x.view(), norm, *linear, rows, logits.view());
  HostMatrix<float> projected(3, 12);
  const auto stored = Pack(*backend, head, LinearRole::kQkv);
  backend->Project(x.view(), &norm, *stored, projected.view());
  EXPECT_TRUE(std::equal(logits.row(1).begin(), logits.row(1).end(),
                         projected.row(2).begin()));
}

// The bits themselves, which tolerances above would let drift.
TEST(ReferenceTest, BitsAreFixed) {
  const auto data = [](size_t n) {
    std::vector<float> values(n);
    uint32_t state = 1;
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-30f;
    }
    return values;
  };
  uint64_t hash = 14695981039346656037u;
  const auto add = [&hash](const std::vector<float>& values) {
    for (const float value : values)
      hash = (hash ^ std::bit_cast<uint32_t>(value)) * 1099511628211u;
  };
  add(Attend({.spec = GqaSpec(0)}, data(600 * 160), 600, 600));
  add(Attend({.spec = GqaSpec(70), .dtype = DType::kBF16}, data(100 * 160), 100,
             9));
  const auto backend = MakeBackend();
  HostDense dense(20, 300, DType::kF16, BlockEnds(300, 128));
  const std::vector<float> weights = data(20 * 300);
  for (int i = 0; i < 20 * 300; ++i) dense.Set(i / 300, i % 300, weights[i]);
  HostInt4 int4(20, 300, BlockEnds(300, 64));
  for (int i = 0; i < 20 * 300; ++i)
    int4.q()[i] = std::bit_cast<uint32_t>(weights[i]) >> 9 & 15;
  std::fill(int4.z().begin(), int4.z().end(), 7);
  std::fill(int4.s().begin(), int4.s().end(), 0.0123f);
  add(Store(*backend, dense, data(300)));
  add(Store(*backend, int4, data(300)));
  const auto gated = backend->PackLinear(
      {.cols = 300, .parts = {int4.part(), dense.part()}}, LinearRole::kGateUp);
  HostMatrix<float> x(1, 300, data(300)), out(1, 20);
  backend->Project(x.view(), std::make_unique<Norm>(Norm{data(300)}).get(),
                   **gated, out.view());
  add(out.values());
  EXPECT_EQ(hash, 54669745754217611u);
}

}  // namespace
}  // namespace quatrain
