#include "base/half.h"

#include <bit>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

TEST(HalfTest, EveryF16SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = F16ToF32(bits);
    if (std::isnan(value)) continue;
    EXPECT_EQ(F32ToF16(value), bits);
  }
}

TEST(HalfTest, EveryBF16SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = BF16ToF32(bits);
    if (std::isnan(value)) continue;
    EXPECT_EQ(F32ToBF16(value), bits);
  }
}

TEST(HalfTest, NarrowingRoundsToNearestEven) {
  EXPECT_EQ(F32ToF16(1.0f + 0x1p-11f), 0x3c00);  // tie, to even below
  EXPECT_EQ(F32ToF16(1.0f + 0x3p-11f), 0x3c02);  // tie, to even above
  EXPECT_EQ(F32ToF16(65519.0f), 0x7bff);
  EXPECT_EQ(F32ToF16(65520.0f), 0x7c00);
  EXPECT_EQ(F32ToF16(0x1p-25f), 0x0000);  // tie of 0 and the least subnormal
  EXPECT_EQ(F32ToF16(-0x1.8p-25f), 0x8001);
  EXPECT_EQ(F32ToBF16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(F32ToBF16(1.0f + 0x3p-8f), 0x3f82);
}

TEST(HalfTest, NaNStaysNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(F16ToF32(F32ToF16(nan))));
  EXPECT_TRUE(std::isnan(BF16ToF32(F32ToBF16(nan))));
  // A payload in the low bits only must not become infinity.
  EXPECT_TRUE(
      std::isnan(BF16ToF32(F32ToBF16(std::bit_cast<float>(0x7f800001u)))));
}

}  // namespace
}  // namespace quatrain
