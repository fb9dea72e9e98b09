#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/exact_sum.h"
#include "kernels/reference.h"
#include "tests/kernels/reference_cases.h"
#include "tests/support/random.h"

// The reference against arithmetic in double, within derived bounds: the only
// tests of kernels that have a tolerance. Everything else compares bits.
namespace quatrain {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

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

}  // namespace
}  // namespace quatrain
