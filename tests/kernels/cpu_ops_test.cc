#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/cpu/cpu_row_kernels.h"
#include "kernels/sampler.h"
#include "kernels/solo_group.h"
#include "tests/kernels/cpu_cases.h"
#include "tests/support/thread_group.h"

// Embed, ReduceAdd, Head and Sample of the CPU backend against the reference,
// bit for bit.
namespace quatrain {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Runs `body(backend)` for the reference, then for all others, and compares.
void ExpectEqualToReference(
    const std::function<std::vector<float>(Backend&)>& body) {
  const std::vector<float> want = body(*MakeReference());
  for (const CpuCase& cpu : CpuCases())
    EXPECT_TRUE(SameBits(body(*MakeCpu(cpu)), want)) << cpu.name();
}

TEST(CpuOpsTest, EmbedsFromBothKindsOfTable) {
  Random random(1);
  const int width = 37;
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    HostDense table(530, width, dtype, BlockEnds(width, 128), 1.0f, random);
    table.Set(17, 3, -0.0f);
    for (const LinearRole role : {LinearRole::kEmbed, LinearRole::kHead}) {
      const std::vector<int32_t> ids = {0, 17, 529, 16, 15, 31, 17};
      ExpectEqualToReference([&](Backend& backend) {
        auto linear =
            *backend.PackLinear({.cols = width, .parts = {table.part()}}, role);
        StepView view{.num_tokens = static_cast<int>(ids.size()),
                      .token_ids = ids.data()};
        HostMatrix<float> out(static_cast<int>(ids.size()), width);
        SoloGroup group;
        backend.Embed(view, *linear, {530, {530}}, group, out.view());
        return out.values();
      });
    }
  }
}

TEST(CpuOpsTest, EmbedsOverRanks) {
  Random random(2);
  const int width = 20;
  const HostDense table(600, width, DType::kF16, {width}, 1.0f, random);
  const VocabSpec vocab{600, {256, 256, 600}};  // the second rank has none
  const std::vector<int32_t> ids = {255, 256, 599, 0};
  const StepView view{.num_tokens = 4, .token_ids = ids.data()};
  for (const CpuCase& cpu : CpuCases()) {
    TestGroup::RunRanks(3, [&](TestGroup& group) {
      const int begin =
          group.rank() > 0 ? vocab.rank_ends[group.rank() - 1] : 0;
      const HostDense mine =
          table.Slice(begin, vocab.rank_ends[group.rank()], 0, width);
      const auto backend = MakeCpu(cpu);
      auto linear = *backend->PackLinear(
          {.cols = width, .parts = {mine.part()}}, LinearRole::kEmbed);
      HostMatrix<float> out(4, width);
      backend->Embed(view, *linear, vocab, group, out.view());
      for (int t = 0; t < 4; ++t)
        for (int d = 0; d < width; ++d)
          ASSERT_EQ(out.row(t)[d], table.Weight(ids[t], d));
    });
  }
}

TEST(CpuOpsTest, ReducesAndAdds) {
  Random random(3);
  const int width = 83;
  for (const bool with_bias : {false, true}) {
    for (const int rows : {1, 2, 65}) {
      std::vector<int64_t> sums(rows * (width + 1));
      for (int64_t& sum : sums)
        sum = static_cast<int64_t>(random.Uniform(-1, 1) * 0x1p50);
      for (int r = 0; r < rows; ++r) sums[r * (width + 1) + width] = r % 7 == 3;
      std::vector<float> residual = random.Normals(rows * width);
      residual[5] = kNan;
      residual[6] = kInf;
      const Tail tail{with_bias ? random.Normals(width) : std::vector<float>()};
      ExpectEqualToReference([&](Backend& backend) {
        HostMatrix<int64_t> partial(rows, width + 1, sums);
        HostMatrix<float> out(rows, width, residual);
        SoloGroup group;
        backend.ReduceAdd(partial.view(), tail, group, out.view());
        return out.values();
      });
    }
  }
}

TEST(CpuOpsTest, HeadTakesTheRowsThatAreWanted) {
  Random random(4);
  const int cols = 200, vocab = 300, tokens = 90;
  const HostInt4 int4(vocab, cols, BlockEnds(cols, 128), 0.02f, random);
  const HostDense dense(vocab, cols, DType::kF16, BlockEnds(cols, 128), 0.1f,
                        random);
  const Norm norm{.weight = random.Normals(cols), .eps = 1e-5f};
  std::vector<float> x = random.Normals(tokens * cols, 2.0f);
  x[3 * cols + 7] = kNan;
  for (const int wanted : {0, 1, 3, 70}) {
    std::vector<LogitsRow> rows;
    for (int i = 0; i < wanted; ++i) rows.push_back({.token_index = i + i / 4});
    for (const LogicalPart& part : {int4.part(), dense.part()})
      ExpectEqualToReference([&](Backend& backend) {
        auto linear = *backend.PackLinear({.cols = cols, .parts = {part}},
                                          LinearRole::kHead);
        HostMatrix<float> in(tokens, cols, x);
        HostMatrix<float> out(wanted, vocab);
        backend.Head(in.view(), norm, *linear, rows, out.view());
        return out.values();
      });
  }
}

std::string Text(const SampledRow& row) {
  std::string text = std::to_string(row.token_id);
  const auto add = [&](const TokenLogprob& p) {
    absl::StrAppend(&text, " ", p.token_id, ":",
                    std::bit_cast<uint32_t>(p.logprob), ":", p.rank);
  };
  if (row.not_finite) text += " not finite";
  if (row.logprob) add(*row.logprob);
  for (const TokenLogprob& top : row.top_logprobs) add(top);
  return text;
}

std::vector<LogitsRow> RowsToSample() {
  std::vector<LogitsRow> rows;
  const auto draw = [&](float temperature, int top_k, float top_p, int top) {
    const int n = static_cast<int>(rows.size());
    rows.push_back({.position = 3 * n,
                    .draw = true,
                    .top_logprobs = top,
                    .logprobs = top > 0,
                    .sampling = {.temperature = temperature,
                                 .top_k = top_k,
                                 .top_p = top_p,
                                 .seed = 0x1234567890abcdefu + n,
                                 .choice = static_cast<uint32_t>(n % 3)}});
  };
  for (const float temperature : {0.0f, 0.01f, 0.7f, 1.0f, 3.0f}) {
    draw(temperature, 0, 1.0f, 0);
    draw(temperature, 40, 1.0f, 5);
    draw(temperature, 0, 0.95f, 20);
    draw(temperature, 300, 0.5f, 1);
    draw(temperature, 1, 1.0f, 0);
  }
  rows.push_back({.target = 17, .top_logprobs = 3, .logprobs = true});
  rows.push_back({.target = 0, .logprobs = true});
  return rows;
}

TEST(CpuOpsTest, SamplesLikeTheReference) {
  Random random(5);
  const std::vector<LogitsRow> rows = RowsToSample();
  const int n = static_cast<int>(rows.size());
  for (const int vocab_size : {1, 5, 256, 257, 1000, 5001}) {
    std::vector<float> logits = random.Normals(size_t(n) * vocab_size, 3.0f);
    for (int i = 0; i < n * vocab_size; i += 7)  // ties, and both zeros
      logits[i] = i % 2 ? 0.0f : -0.0f;
    if (vocab_size > 20) logits[3 * vocab_size + 11] = kInf;
    std::vector<LogitsRow> some = rows;
    for (LogitsRow& row : some)
      if (row.target >= vocab_size) row.target = vocab_size - 1;
    const auto sample = [&](Backend& backend) {
      HostMatrix<float> in(n, vocab_size, logits);
      std::vector<SampledRow> out(n);
      SoloGroup group;
      backend.Sample(in.view(), some, {vocab_size, {vocab_size}}, group, out);
      std::vector<std::string> texts;
      for (const SampledRow& row : out) texts.push_back(Text(row));
      return texts;
    };
    const auto want = sample(*MakeReference());
    for (const CpuCase& cpu : CpuCases())
      EXPECT_EQ(sample(*MakeCpu(cpu)), want)
          << cpu.name() << ", vocabulary " << vocab_size;
  }
}

TEST(CpuOpsTest, RowKernelsEqualTheirDefinition) {
  Random random(6);
  const ReferenceRowKernels want;
  for (const std::string& isa : AvailableIsas()) {
    ThreadPool pool(1, false);
    const CpuRowKernels got(*ChooseIsa(isa), &pool);
    for (const int n : {1, 2, 15, 16, 17, 63, 64, 65, 255, 256, 257, 700}) {
      std::vector<float> logits = random.Normals(n, 4.0f);
      for (int i = 0; i < n; i += 5) logits[i] = logits[n / 2];
      EXPECT_TRUE(got.AllFinite(logits));
      EXPECT_EQ(got.Largest(logits), want.Largest(logits));
      for (const float t : {1.0f, 0.01f, 0.8f, 100.0f}) {
        std::vector<float> a((n + 255) / 256), b(a.size());
        got.TileLogSumExp(logits, t, a);
        want.TileLogSumExp(logits, t, b);
        EXPECT_TRUE(SameBits(a, b)) << isa << ", " << n;
        const SamplingSetup setup{.temperature = t, .seed = 99, .choice = 2};
        for (const int first : {0, 256, 1 << 20})
          EXPECT_EQ(got.LargestPerturbed(logits, first, setup, n),
                    want.LargestPerturbed(logits, first, setup, n));
        for (const int best : {1, n / 2, n}) {
          std::vector<int32_t> x(best), y(best);
          got.Best(logits, t, x);
          want.Best(logits, t, y);
          EXPECT_EQ(x, y);
        }
      }
      for (const int end : {-1, 0, n / 2, n, n + 5})
        EXPECT_EQ(got.CountBefore(logits, logits[n / 2], end),
                  want.CountBefore(logits, logits[n / 2], end));
      logits[n - 1] = kNan;
      EXPECT_FALSE(got.AllFinite(logits));
      logits[n - 1] = -kInf;
      EXPECT_FALSE(got.AllFinite(logits));
    }
  }
}

// The best of a large vocabulary, in orders that make the search drop much or
// nothing of what it holds.
TEST(CpuOpsTest, FindsTheBestOfMany) {
  constexpr int kVocab = 20'000;
  Random random(7);
  std::vector<float> rising(kVocab), falling(kVocab), equal(kVocab, 1.5f);
  for (int i = 0; i < kVocab; ++i) {
    rising[i] = static_cast<float>(i) * 0.25f;
    falling[i] = -rising[i];
  }
  std::vector<float> mixed = random.Normals(kVocab, 4.0f);
  ThreadPool pool(1, false);
  const CpuRowKernels got(*ChooseIsa("auto"), &pool);
  const ReferenceRowKernels want;
  for (const auto* logits : {&rising, &falling, &equal, &mixed}) {
    for (const int best : {1, 20, 256}) {
      std::vector<int32_t> x(best), y(best);
      got.Best(*logits, 0.7f, x);
      want.Best(*logits, 0.7f, y);
      EXPECT_EQ(x, y);
    }
  }
}

}  // namespace
}  // namespace quatrain
