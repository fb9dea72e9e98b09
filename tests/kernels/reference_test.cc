#include "kernels/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "kernels/exact_sum.h"
#include "kernels/solo_group.h"
#include "tests/support/random.h"
#include "tests/support/thread_group.h"

// The reference against arithmetic in double, within derived bounds: the only
// tests of kernels that have a tolerance. Everything else compares bits.
namespace quatrain {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::unique_ptr<Backend> MakeBackend(BackendOptions options = {}) {
  options.num_slots = 8;
  options.max_blocks = 64;
  return *MakeReferenceBackend(options);
}

// One part, no bias.
template <typename Host>
std::unique_ptr<Linear> Pack(Backend& backend, const Host& host,
                             LinearRole role) {
  auto linear =
      backend.PackLinear({.cols = host.cols(), .parts = {host.part()}}, role);
  EXPECT_TRUE(linear.ok()) << linear.status();
  return *std::move(linear);
}

template <typename Host>
std::vector<int64_t> PartialSums(Backend& backend, const Host& host,
                                 std::vector<float> x) {
  const auto linear = Pack(backend, host, LinearRole::kO);
  HostMatrix<float> in(1, host.cols(), std::move(x));
  HostMatrix<int64_t> out(1, host.rows() + 1);
  backend.Project(in.view(), nullptr, *linear, out.view());
  return out.values();
}

template <typename Host>
std::vector<float> Store(Backend& backend, const Host& host,
                         std::vector<float> x) {
  const auto linear = Pack(backend, host, LinearRole::kQkv);
  HostMatrix<float> in(1, host.cols(), std::move(x));
  HostMatrix<float> out(1, host.rows());
  backend.Project(in.view(), nullptr, *linear, out.view());
  return out.values();
}

bool IsMarked(float value) {
  return std::bit_cast<uint32_t>(value) == kMarkedBits;
}

// The exact product, and how far the definition may be from it: digits are off
// by half of a = max / 32639, each block rounds three times in f32 (dense: once
// per k) and once to 2^-28, the output once more.
template <typename Host>
void ExpectNearDouble(const Host& host, const std::vector<int>& ends,
                      const std::vector<float>& x,
                      const std::vector<float>& got, bool is_int4) {
  for (int n = 0; n < host.rows(); ++n) {
    double want = 0, bound = 0;
    int k = 0;
    for (const int end : ends) {
      double largest = 0, weights = 0, products = 0;
      for (; k < end; ++k) {
        want += x[k] * static_cast<double>(host.Weight(n, k));
        largest = std::max(largest, std::fabs(static_cast<double>(x[k])));
        weights += std::fabs(host.Weight(n, k));
        products += std::fabs(x[k] * static_cast<double>(host.Weight(n, k)));
      }
      if (is_int4) bound += weights * largest / 32639 * 0.5001;
      bound += products * (is_int4 ? 4 : 128) * 0x1p-24 + 0x1p-29;
    }
    bound += std::fabs(want) * 0x1p-23;
    ASSERT_NEAR(got[n], want, bound) << "output " << n;
  }
}

TEST(ReferenceProjectTest, Int4IsNearDouble) {
  Random random(21);
  for (const int group : {32, 64, 128}) {
    for (const int cols : {32, 128, 160, 416}) {
      const std::vector<int> ends = BlockEnds(cols, group);
      const HostInt4 host(9, cols, ends, 0.02f, random);
      const std::vector<float> x = random.Normals(cols, 3.0f);
      const auto backend = MakeBackend();
      ExpectNearDouble(host, ends, x, Store(*backend, host, x), true);
    }
  }
}

TEST(ReferenceProjectTest, DenseIsNearDouble) {
  Random random(22);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    for (const int cols : {1, 127, 128, 300}) {
      const std::vector<int> ends = BlockEnds(cols, 128);
      const HostDense host(7, cols, dtype, ends, 0.1f, random);
      const std::vector<float> x = random.Normals(cols, 3.0f);
      const auto backend = MakeBackend();
      ExpectNearDouble(host, ends, x, Store(*backend, host, x), false);
    }
  }
}

TEST(ReferenceProjectTest, F32ActivationsAreNearerStill) {
  Random random(23);
  const auto backend = MakeBackend({.activations = Activations::kF32});
  const std::vector<int> ends = BlockEnds(416, 32);
  const HostInt4 host(9, 416, ends, 0.02f, random);
  const std::vector<float> x = random.Normals(416, 3.0f);
  const std::vector<float> got = Store(*backend, host, x);
  for (int n = 0; n < host.rows(); ++n) {
    double want = 0;
    for (int k = 0; k < 416; ++k) want += x[k] * host.Weight(n, k);
    EXPECT_NEAR(got[n], want, std::fabs(want) * 0x1p-23 + 0x1p-28);
  }
}

TEST(ReferenceProjectTest, PartialSumsOfAnyCutAddUpToTheSameBits) {
  Random random(24);
  const int cols = 640;
  const HostInt4 int4(33, cols, BlockEnds(cols, 64), 0.02f, random);
  const HostDense dense(33, cols, DType::kF16, BlockEnds(cols, 128), 0.1f,
                        random);
  const std::vector<float> x = random.Normals(cols, 3.0f);
  const auto backend = MakeBackend();
  const auto expect_same = [&](const auto& host, std::vector<int> cuts) {
    const std::vector<int64_t> whole = PartialSums(*backend, host, x);
    std::vector<int64_t> sum(whole.size());
    cuts.push_back(cols);
    int begin = 0;
    for (const int end : cuts) {
      const auto slice = host.Slice(0, 33, begin, end);
      const std::vector<int64_t> part =
          PartialSums(*backend, slice, {x.begin() + begin, x.begin() + end});
      for (size_t i = 0; i < sum.size(); ++i)
        sum[i] = AddFixed(sum[i], part[i]);
      begin = end;
    }
    EXPECT_EQ(sum, whole);
  };
  expect_same(int4, {64});
  expect_same(int4, {192, 448});
  expect_same(int4, {128, 256, 384, 512});
  expect_same(dense, {128});
  expect_same(dense, {256, 512});
}

TEST(ReferenceProjectTest, RanksWithoutAPartAddZeros) {
  const auto backend = MakeBackend();
  HostMatrix<int64_t> out(2, 6, std::vector<int64_t>(12, 99));
  HostMatrix<float> x(2, 0);
  const auto none = backend->PackLinear({.cols = 0}, LinearRole::kDown);
  backend->Project(x.view(), nullptr, **none, out.view());
  EXPECT_EQ(out.values(), std::vector<int64_t>(12, 0));
  const HostInt4 no_columns(5, 0, {});
  const auto linear = Pack(*backend, no_columns, LinearRole::kDown);
  HostMatrix<int64_t> again(2, 6, std::vector<int64_t>(12, 99));
  backend->Project(x.view(), nullptr, *linear, again.view());
  EXPECT_EQ(again.values(), std::vector<int64_t>(12, 0));
}

TEST(ReferenceProjectTest, WhatIsNotFiniteMarksTheRow) {
  Random random(25);
  const HostInt4 int4(3, 256, BlockEnds(256, 128), 0.02f, random);
  const HostDense dense(3, 256, DType::kF16, BlockEnds(256, 128), 0.1f, random);
  const auto backend = MakeBackend();
  for (const float bad : {kInf, -kInf, kNan}) {
    std::vector<float> x = random.Normals(256);
    x[200] = bad;
    EXPECT_EQ(PartialSums(*backend, int4, x).back(), 1);
    EXPECT_EQ(PartialSums(*backend, dense, x).back(), 1);
    for (const float y : Store(*backend, int4, x)) EXPECT_TRUE(IsMarked(y));
    for (const float y : Store(*backend, dense, x)) EXPECT_TRUE(IsMarked(y));
  }
}

TEST(ReferenceProjectTest, ContributionsOfTwoTo23MarkTheRow) {
  const auto backend = MakeBackend();
  HostDense dense(2, 2, DType::kF32, {2});
  dense.Set(1, 0, 1.0f);
  const float largest = std::nextafter(0x1p23f, 0.0f);
  EXPECT_EQ(Store(*backend, dense, {largest, 0.0f})[1], largest);
  EXPECT_EQ(PartialSums(*backend, dense, {0x1p23f, 0.0f}).back(), 1);
  dense.Set(1, 0, kNan);  // a weight
  EXPECT_EQ(PartialSums(*backend, dense, {1.0f, 0.0f}).back(), 1);

  HostInt4 int4(1, 1, {1});
  int4.q() = {15};
  int4.z() = {0};
  int4.s() = {1.0f};
  EXPECT_EQ(PartialSums(*backend, int4, {559240.0f}).back(), 0);
  EXPECT_EQ(PartialSums(*backend, int4, {559241.0f}).back(), 1);
}

TEST(ReferenceProjectTest, TinyActivationsAreZero) {
  Random random(26);
  const HostInt4 host(3, 128, {128}, 1000.0f, random);
  const auto backend = MakeBackend();
  const std::vector<float> x(128, 0x1p-112f);  // a below 2^-126
  for (const float y : Store(*backend, host, x)) EXPECT_EQ(y, 0.0f);
}

TEST(ReferenceProjectTest, NormAndGateAreNearDouble) {
  Random random(27);
  const int cols = 384;
  const std::vector<int> ends = BlockEnds(cols, 128);
  const HostDense gate(5, cols, DType::kF16, ends, 0.1f, random);
  const HostDense up(5, cols, DType::kF16, ends, 0.1f, random);
  const std::vector<float> bias = random.Normals(10);
  const Norm norm{.weight = random.Normals(cols), .eps = 1e-6f};
  const std::vector<float> x = random.Normals(cols, 4.0f);
  const auto backend = MakeBackend();
  const auto linear = backend->PackLinear(
      {.cols = cols, .parts = {gate.part(), up.part()}, .bias = bias},
      LinearRole::kGateUp);
  HostMatrix<float> in(1, cols, x), out(1, 5);
  backend->Project(in.view(), &norm, **linear, out.view());

  double square = 0;
  for (const float value : x) square += static_cast<double>(value) * value;
  const double scale = 1 / std::sqrt(square / cols + 1e-6f);
  for (int n = 0; n < 5; ++n) {
    double g = bias[n], u = bias[5 + n];
    for (int k = 0; k < cols; ++k) {
      g += x[k] * scale * norm.weight[k] * gate.Weight(n, k);
      u += x[k] * scale * norm.weight[k] * up.Weight(n, k);
    }
    EXPECT_NEAR(out.values()[n], g / (1 + std::exp(-g)) * u, 2e-5);
  }
}

TEST(ReferencePackTest, FailuresReachTheCaller) {
  Random random(28);
  const HostInt4 host(64, 256, BlockEnds(256, 128), 0.02f, random);
  const auto small = MakeBackend({.memory_limit_bytes = 10000});
  const LogicalLinear logical{.cols = 256, .parts = {host.part()}};
  EXPECT_EQ(small->PackLinear(logical, LinearRole::kO).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(small->memory().used_bytes(), 0);
  LogicalPart wrong = host.part();
  wrong.is_int4 = false;
  EXPECT_EQ(MakeBackend()
                ->PackLinear({.cols = 256, .parts = {wrong}}, LinearRole::kO)
                .status()
                .code(),
            absl::StatusCode::kInternal);
}

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

Step PrefillStep(std::vector<int32_t> ids, int start,
                 std::vector<int32_t> blocks) {
  Step step;
  step.chunks = {{.slot = 0,
                  .new_tenant = start == 0,
                  .token_ids = std::move(ids),
                  .start = start,
                  .new_blocks = std::move(blocks)}};
  return step;
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

// A little model of one attention layer with its cache.
struct AttentionCase {
  AttentionSpec spec;
  DType dtype = DType::kF32;
  int block_size = 4;
};

AttentionSpec GqaSpec(int window) {
  AttentionSpec spec{.num_q_heads = 6,
                     .num_kv_heads = 2,
                     .head_dim = 16,
                     .scale = 0.25f,
                     .window = window,
                     .heads = {{0, 0, 2}, {1, 2, 4}}};
  for (int i = 0; i < 6; ++i)  // four dims pass unrotated
    spec.rope.inv_freq.push_back(std::pow(100.0f, -i / 6.0f));
  spec.rope.scaling = 1.1f;
  return spec;
}

// Attends over `qkv` [tokens, width] in chunks of `chunk` tokens.
std::vector<float> Attend(const AttentionCase& c, const std::vector<float>& qkv,
                          int tokens, int chunk) {
  const int width =
      (c.spec.num_q_heads + 2 * c.spec.num_kv_heads) * c.spec.head_dim;
  const int out_width = c.spec.num_q_heads * c.spec.head_dim;
  BackendOptions options{.num_slots = 1,
                         .max_blocks = tokens,
                         .block_size = c.block_size,
                         .kv_dtype = c.dtype};
  const auto backend = *MakeReferenceBackend(options);
  const int blocks = (tokens + c.block_size - 1) / c.block_size;
  std::vector<float> memory(blocks * c.block_size * c.spec.num_kv_heads *
                            c.spec.head_dim * 2);
  const KvLayer kv{memory.data(),       c.dtype,        blocks, c.block_size,
                   c.spec.num_kv_heads, c.spec.head_dim};
  std::vector<float> result;
  for (int begin = 0; begin < tokens; begin += chunk) {
    const int n = std::min(chunk, tokens - begin);
    std::vector<int32_t> new_blocks;
    if (begin == 0)  // in reverse, so that a table is needed
      for (int b = blocks; b > 0; --b) new_blocks.push_back(b - 1);
    const StepView& view = backend->BeginStep(
        PrefillStep(std::vector<int32_t>(n, 1), begin, new_blocks));
    HostMatrix<float> in(
        n, width,
        {qkv.begin() + begin * width, qkv.begin() + (begin + n) * width});
    HostMatrix<float> out(n, out_width);
    backend->Attend(in.view(), c.spec, view, kv, out.view());
    result.insert(result.end(), out.values().begin(), out.values().end());
  }
  return result;
}

// The same in double, from the formulas.
std::vector<double> AttendInDouble(const AttentionSpec& spec,
                                   const std::vector<float>& qkv, int tokens) {
  const int dim = spec.head_dim;
  const int width = (spec.num_q_heads + 2 * spec.num_kv_heads) * dim;
  const auto rotated = [&](int t, int head) {
    std::vector<double> v(dim);
    for (int d = 0; d < dim; ++d) v[d] = qkv[t * width + head * dim + d];
    const size_t half = spec.rope.inv_freq.size();
    for (size_t i = 0; i < half; ++i) {
      const double angle = t * spec.rope.inv_freq[i];
      const double cos = std::cos(angle) * spec.rope.scaling;
      const double sin = std::sin(angle) * spec.rope.scaling;
      const double x = v[i], y = v[i + half];
      v[i] = x * cos - y * sin;
      v[i + half] = y * cos + x * sin;
    }
    return v;
  };
  std::vector<double> out(tokens * spec.num_q_heads * dim);
  for (const KvHeadUse& use : spec.heads) {
    std::vector<std::vector<double>> keys;
    for (int t = 0; t < tokens; ++t)
      keys.push_back(rotated(t, spec.num_q_heads + use.kv_head));
    for (int h = use.first_q_head; h < use.first_q_head + use.count; ++h) {
      for (int t = 0; t < tokens; ++t) {
        const std::vector<double> q = rotated(t, h);
        double sum = 0;
        double* o = &out[(t * spec.num_q_heads + h) * dim];
        for (int j = 0; j <= t; ++j) {
          if (spec.window > 0 && j <= t - spec.window) continue;
          double score = 0;
          for (int d = 0; d < dim; ++d) score += q[d] * keys[j][d];
          const double weight = std::exp(score * spec.scale);
          const int v = spec.num_q_heads + spec.num_kv_heads + use.kv_head;
          for (int d = 0; d < dim; ++d)
            o[d] += weight * qkv[j * width + v * dim + d];
          sum += weight;
        }
        for (int d = 0; d < dim; ++d) o[d] /= sum;
      }
    }
  }
  return out;
}

TEST(ReferenceAttendTest, IsNearDouble) {
  Random random(31);
  const int tokens = 600;  // more than one segment of keys
  for (const int window : {0, 1, 37, 530}) {
    const AttentionCase c{.spec = GqaSpec(window)};
    const std::vector<float> qkv = random.Normals(tokens * 10 * 16);
    const std::vector<float> got = Attend(c, qkv, tokens, tokens);
    const std::vector<double> want = AttendInDouble(c.spec, qkv, tokens);
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, std::fabs(got[i] - want[i]));
    // Scores below 16 with 2 ulp, a softmax of at most 600 keys.
    EXPECT_LT(worst, 3e-5) << "window " << window;
  }
}

TEST(ReferenceAttendTest, ChunksAndBlocksChangeNoBit) {
  Random random(32);
  const int tokens = 150;
  const std::vector<float> qkv = random.Normals(tokens * 10 * 16, 2.0f);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    AttentionCase c{.spec = GqaSpec(40), .dtype = dtype};
    const std::vector<float> whole = Attend(c, qkv, tokens, tokens);
    EXPECT_EQ(Attend(c, qkv, tokens, 1), whole);
    EXPECT_EQ(Attend(c, qkv, tokens, 7), whole);
    c.block_size = 16;
    EXPECT_EQ(Attend(c, qkv, tokens, 64), whole);
  }
}

TEST(ReferenceAttendTest, OneKeyGivesItsStoredValue) {
  const AttentionCase c{.spec = GqaSpec(0), .dtype = DType::kF16};
  Random random(33);
  const std::vector<float> qkv = random.Normals(10 * 16);
  const std::vector<float> out = Attend(c, qkv, 1, 1);
  for (int d = 0; d < 16; ++d)
    EXPECT_EQ(out[5 * 16 + d], F16ToF32(F32ToF16(qkv[(6 + 2 + 1) * 16 + d])));
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
