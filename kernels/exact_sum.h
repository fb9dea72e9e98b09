#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

// The exact block sums of docs/numerics.md: contributions of blocks of k as
// 64-bit integers in units of 2^-28, which add up to the same bits in any
// order.
namespace quatrain {

inline constexpr int kMaxBlock = 128;  // elements of k in a block
// The largest |xi|: two digits of 8 bits, 127 * 256 + 127, or one.
inline constexpr int kMaxDigits = 32639;
inline constexpr int kMaxOneDigit = 127;
inline constexpr float kMaxContribution = 8388608.0f;  // 2^23: marks the row
// A row needs no check where max|x| * max(s) is below this in every block:
// 128 * 15 * 4369 < 2^23, with room for the roundings.
inline constexpr float kNoCheckBelow = 4369.0f;
// And max|x| below this: else D * a may overflow before s makes it small.
inline constexpr float kNoOverflowBelow = 0x1p116f;
// Every output of a marked row.
inline constexpr uint32_t kMarkedBits = 0x7fc00000u;
inline float MarkedValue() { return std::bit_cast<float>(kMarkedBits); }

// round_half_even(c * 2^28), for |c| < 2^23; elsewhere some integer.
// 1.5 * 2^24 is a f64 whose last bit is worth 2^-28.
inline int64_t ToFixed(float c) {
  constexpr double kMagic = 0x1.8p24;
  return static_cast<int64_t>(
      std::bit_cast<uint64_t>(static_cast<double>(c) + kMagic) -
      std::bit_cast<uint64_t>(kMagic));
}

// f32(f64(sum) * 2^-28).
inline float FromFixed(int64_t sum) {
  return static_cast<float>(static_cast<double>(sum) * 0x1p-28);
}

// a + b modulo 2^64.
inline int64_t AddFixed(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) +
                              static_cast<uint64_t>(b));
}

// False for NaN too.
inline bool ContributionFits(float c) {
  return std::fabs(c) < kMaxContribution;
}

// The activations of one block as integers: x is about a * xi.
struct BlockDigits {
  float a = 0.0f;
  float max_abs = 0.0f;
  bool finite = true;  // else the row is marked, and all xi are 0
};

// Writes xi of a block of at most kMaxBlock values.
inline BlockDigits DigitsOfBlock(std::span<const float> x, int32_t* xi,
                                 int max_digits = kMaxDigits) {
  BlockDigits block;
  for (const float value : x) {
    if (!std::isfinite(value)) block.finite = false;
    const float magnitude = std::fabs(value);
    block.max_abs = magnitude > block.max_abs ? magnitude : block.max_abs;
  }
  block.a = block.max_abs / static_cast<float>(max_digits);
  const bool zero =
      !block.finite || block.a < std::numeric_limits<float>::min();
  for (size_t i = 0; i < x.size(); ++i) {
    // Adding 1.5 * 2^23 rounds to an integer, half to even.
    xi[i] = zero ? 0
                 : std::bit_cast<int32_t>(x[i] / block.a + 12582912.0f) -
                       std::bit_cast<int32_t>(12582912.0f);
  }
  return block;
}

// The contribution of a block of an int4 linear. d = sum of (q - z) * xi.
inline float Int4Contribution(int32_t d, float a, float s) {
  return (static_cast<float>(d) * a) * s;
}

}  // namespace quatrain
