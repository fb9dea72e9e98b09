#include "kernels/math.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/exact_sum.h"
#include "kernels/gumbel.h"
#include "tests/support/random.h"

namespace quatrain {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// How far `got` is from the exact result, in units of its last place.
double Ulps(float got, long double exact) {
  const float nearest = std::fabs(static_cast<float>(exact));
  const long double ulp = std::nextafter(nearest, kInf) - nearest;
  return static_cast<double>(std::fabs((got - exact) / ulp));
}

TEST(ExpTest, IsWithinOneUlpOfLongDouble) {
  double worst = 0;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 4001) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (!(x > -103.0f && x < 88.7f)) continue;
    worst =
        std::max(worst, Ulps(Exp(x), std::exp(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 1.0);
}

TEST(ExpTest, EndsAreExact) {
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-0.0f), 1.0f);
  EXPECT_EQ(Exp(-104.0f), 0.0f);
  EXPECT_EQ(Exp(-kInf), 0.0f);
  EXPECT_EQ(Exp(-103.0f), 0x1p-149f);
  EXPECT_EQ(Exp(89.0f), kInf);
  EXPECT_EQ(Exp(kInf), kInf);
  EXPECT_TRUE(std::isnan(Exp(kNan)));
  EXPECT_TRUE(std::isnan(Exp(-kNan)));
}

TEST(LogTest, IsWithinOneUlpOfLongDouble) {
  double worst = 0;
  for (uint32_t bits = 0x00800000; bits < 0x7f800000; bits += 2003) {
    const float x = std::bit_cast<float>(bits);
    worst =
        std::max(worst, Ulps(Log(x), std::log(static_cast<long double>(x))));
  }
  for (int i = -1000; i <= 1000; ++i) {
    const float x = 1.0f + static_cast<float>(i) * 0x1p-23f;
    if (i != 0)
      worst =
          std::max(worst, Ulps(Log(x), std::log(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 1.0);
  EXPECT_EQ(Log(1.0f), 0.0f);
}

TEST(SinCosTest, IsCorrectlyRoundedUpToTenMillion) {
  Random random(1);
  double worst = 0;
  for (int i = 0; i < 200000; ++i) {
    const float x = random.Uniform(-1e7f, 1e7f) / (i % 2 ? 1.0f : 1e6f);
    const SinCosResult got = SinCos(x);
    worst =
        std::max(worst, Ulps(got.sin, std::sin(static_cast<long double>(x))));
    worst =
        std::max(worst, Ulps(got.cos, std::cos(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 0.5001);
  EXPECT_EQ(SinCos(0.0f).sin, 0.0f);
  EXPECT_EQ(SinCos(0.0f).cos, 1.0f);
}

// The bits themselves: another compiler, machine or option must not move them.
TEST(MathTest, BitsAreFixed) {
  uint64_t hash = 14695981039346656037u;
  const auto add = [&hash](float value) {
    hash = (hash ^ std::bit_cast<uint32_t>(value)) * 1099511628211u;
  };
  for (int i = 0; i < 20000; ++i) {
    const float x = static_cast<float>(i - 10000) * 0.00917f;
    add(Exp(x));
    add(Log(std::fabs(x) + 0.001f));
    add(SinCos(x * 31.0f).sin);
    add(SinCos(x * 31.0f).cos);
    add(Silu(x));
    add(GumbelOfBits(static_cast<uint32_t>(i) * 2654435761u));
  }
  EXPECT_EQ(hash, 4831415641881002575u);
}

TEST(HalvingSumTest, AddsTheUpperHalfToTheLower) {
  float values[] = {1e8f, 1.0f, -1e8f, 2.0f};
  EXPECT_EQ(HalvingSum(values, 4), 3.0f);  // in order, 1 would be lost
}

TEST(FixedTest, RoundsHalfToEven) {
  EXPECT_EQ(ToFixed(0.0f), 0);
  EXPECT_EQ(ToFixed(1.0f), int64_t{1} << 28);
  EXPECT_EQ(ToFixed(0x1p-29f), 0);
  EXPECT_EQ(ToFixed(0x3p-29f), 2);
  EXPECT_EQ(ToFixed(-0x1p-29f), 0);
  EXPECT_EQ(ToFixed(-0x3p-29f), -2);
  EXPECT_EQ(ToFixed(0x1.000002p-29f), 1);
  Random random(2);
  for (int i = 0; i < 100000; ++i) {
    const float c =
        std::ldexp(random.Uniform(-1.0f, 1.0f), random.Int(-40, 23));
    ASSERT_EQ(ToFixed(c), std::llrint(c * 0x1p28)) << c;
  }
  const float largest = std::nextafter(0x1p23f, 0.0f);
  EXPECT_EQ(ToFixed(-largest), -static_cast<int64_t>(largest * 0x1p28));
  EXPECT_EQ(FromFixed(ToFixed(-largest)), -largest);
}

TEST(FixedTest, OnlyContributionsBelowTwoTo23Fit) {
  EXPECT_TRUE(ContributionFits(std::nextafter(0x1p23f, 0.0f)));
  EXPECT_FALSE(ContributionFits(0x1p23f));
  EXPECT_FALSE(ContributionFits(-kInf));
  EXPECT_FALSE(ContributionFits(kNan));
}

TEST(DigitsTest, LargestBecomesTheLargestDigits) {
  Random random(3);
  for (int i = 0; i < 2000; ++i) {
    std::vector<float> x = random.Normals(random.Int(1, 128));
    for (float& value : x) value = std::ldexp(value, i % 200 - 100);
    std::vector<int32_t> xi(x.size());
    const BlockDigits block = DigitsOfBlock(x, xi.data());
    int32_t largest = 0;
    for (size_t k = 0; k < x.size(); ++k) {
      largest = std::max(largest, std::abs(xi[k]));
      ASSERT_EQ(xi[k], std::nearbyint(x[k] / block.a));
    }
    ASSERT_EQ(largest, kMaxDigits);
  }
}

TEST(DigitsTest, TinyBlocksAreZero) {
  // a would be 0x1p-127, below the smallest normal.
  const std::vector<float> tiny = {32639 * 0x1p-127f, -0x1p-120f};
  std::vector<int32_t> xi(2, 7);
  EXPECT_TRUE(DigitsOfBlock(tiny, xi.data()).finite);
  EXPECT_EQ(xi, (std::vector<int32_t>{0, 0}));
  const std::vector<float> normal = {32639 * 0x1p-126f, -0x1p-120f};
  EXPECT_EQ(DigitsOfBlock(normal, xi.data()).a, 0x1p-126f);
  EXPECT_EQ(xi, (std::vector<int32_t>{32639, -64}));
  const std::vector<float> zero = {0.0f, -0.0f};
  EXPECT_TRUE(DigitsOfBlock(zero, xi.data()).finite);
  EXPECT_EQ(xi, (std::vector<int32_t>{0, 0}));
}

TEST(DigitsTest, WhatIsNotFiniteIsFound) {
  std::vector<int32_t> xi(3);
  for (const float bad : {kInf, -kInf, kNan}) {
    const std::vector<float> x = {1.0f, bad, 2.0f};
    EXPECT_FALSE(DigitsOfBlock(x, xi.data()).finite);
    EXPECT_EQ(xi, (std::vector<int32_t>{0, 0, 0}));
  }
}

TEST(DigitsTest, TheCheckMayBeLeftOutBelowItsBound) {
  // The worst row: every weight 15 from its zero, every activation the largest.
  const float x = std::nextafter(kNoCheckBelow, 0.0f);
  const std::vector<float> row(kMaxBlock, x);
  std::vector<int32_t> xi(row.size());
  const BlockDigits block = DigitsOfBlock(row, xi.data());
  const int32_t d = kMaxBlock * 15 * xi[0];
  EXPECT_TRUE(ContributionFits(Int4Contribution(d, block.a, 1.0f)));
}

// Known answers of Random123 (examples/kat_vectors).
TEST(PhiloxTest, KnownAnswers) {
  EXPECT_EQ(Philox({0, 0, 0, 0}, 0, 0),
            (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822,
                   0x299f31d0),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(GumbelTest, IsMinusLogMinusLog) {
  Random random(4);
  for (int i = 0; i < 100000; ++i) {
    const uint32_t bits =
        static_cast<uint32_t>(random.Int(0, 0x7fffffff)) >> random.Int(0, 24);
    const double w = ((bits >> 1) + 0.5) * 0x1p-31;
    const double want = -std::log(-std::log1p(-w));
    ASSERT_NEAR(GumbelOfBits(bits), want, 4e-6 + 4e-7 * std::fabs(want));
  }
  EXPECT_NEAR(GumbelOfBits(0), 22.18f, 0.01f);
  EXPECT_NEAR(GumbelOfBits(~0u), -2.85f, 0.01f);
}

TEST(GumbelTest, DependsOnEverything) {
  const SamplingSetup setup{.seed = 5, .choice = 1};
  const float base = Gumbel(setup, 7, 100);
  EXPECT_EQ(Gumbel(setup, 7, 100), base);
  EXPECT_NE(Gumbel(setup, 7, 101), base);
  EXPECT_NE(Gumbel(setup, 7, 104), base);
  EXPECT_NE(Gumbel(setup, 8, 100), base);
  EXPECT_NE(Gumbel({.seed = 5, .choice = 2}, 7, 100), base);
  EXPECT_NE(Gumbel({.seed = 6, .choice = 1}, 7, 100), base);
  EXPECT_NE(Gumbel({.seed = 5 + (uint64_t{1} << 32), .choice = 1}, 7, 100),
            base);
}

// Draws from a small distribution come out in its proportions.
TEST(GumbelTest, DrawsFollowTheSoftmax) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f, 0.5f};
  constexpr int kDraws = 100000;
  std::vector<int> counts(logits.size());
  for (int position = 0; position < kDraws; ++position) {
    int best = 0;
    float best_value = -kInf;
    for (int id = 0; id < 5; ++id) {
      const float value = Perturbed(logits[id], {.seed = 9}, position, id);
      if (value > best_value) best = id;
      best_value = std::max(best_value, value);
    }
    ++counts[best];
  }
  double total = 0;
  for (const float logit : logits) total += std::exp(logit);
  double chi_square = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    const double expected = kDraws * std::exp(logits[id]) / total;
    chi_square += (counts[id] - expected) * (counts[id] - expected) / expected;
  }
  EXPECT_LT(chi_square, 18.47);  // 4 degrees of freedom, 0.1 %
}

}  // namespace
}  // namespace quatrain
