#pragma once

#include <cstdint>

#include "kernels/cuda/simt.h"

// Exact sums on a device: contributions as integers in units of 2^-28
// (docs/numerics.md, 2), whose sum has the same bits in any order.
namespace quatrain::cuda {

constexpr float kMaxContribution = 8388608.0f;  // 2^23: marks the row

// Below this a contribution takes the short way: two parts, each rounded by
// adding 1.5 * 2^23, in units of 2^-6 and 2^-28.
constexpr float kSmallContribution = 65536.0f;  // 2^16
// A row's contributions stay below it where max|x| * max(s) is at most this in
// every block: 128 * 15 * 34 < 2^16, with room for the roundings.
constexpr float kSmallProduct = 34.0f;
constexpr int kLimbShift = 22;  // 2^-6 in units of 2^-28

// One output's sum. Of a row whose contributions are all small: two sums of at
// most 512 blocks; of another row, one of 64 bits.
class ExactSum {
 public:
  __device__ void Clear() { low_ = high_ = 0; }

  // |c| < kSmallContribution. One conversion, four f32 operations and two
  // additions: half the time of the way through f64, which consumer chips do at
  // a sixty-fourth of the rate.
  __device__ void AddSmall(float c) {
    constexpr float kMagic = 12582912.0f;
    constexpr uint32_t kMagicBits = 0x4b400000u;
    const float shifted = __fmaf_rn(c, 64.0f, kMagic);
    const float rounded = __fsub_rn(shifted, kMagic);
    const float rest = __fmaf_rn(rounded, -0.015625f, c);  // exact
    const float units = __fmaf_rn(rest, 268435456.0f, kMagic);
    high_ += __float_as_uint(shifted) - kMagicBits;
    low_ += __float_as_uint(units) - kMagicBits;
  }

  // False where c does not fit, which marks the row.
  __device__ bool AddChecked(float c) {
    constexpr double kMagic = 25165824.0;  // 1.5 * 2^24
    // Unsigned: what does not fit may wrap.
    const uint64_t units =
        static_cast<uint64_t>(__double_as_longlong(__dadd_rn(c, kMagic))) -
        static_cast<uint64_t>(__double_as_longlong(kMagic));
    const uint64_t sum = Bits() + units;
    low_ = static_cast<uint32_t>(sum);
    high_ = static_cast<uint32_t>(sum >> 32);
    return fabsf(c) < kMaxContribution;
  }

  __device__ int64_t Value(bool small) const {
    if (!small) return static_cast<int64_t>(Bits());
    const uint64_t high = static_cast<uint64_t>(
        static_cast<int64_t>(static_cast<int32_t>(high_)));
    return static_cast<int64_t>((high << kLimbShift) +
                                static_cast<uint64_t>(static_cast<int64_t>(
                                    static_cast<int32_t>(low_))));
  }

 private:
  __device__ uint64_t Bits() const {
    return (static_cast<uint64_t>(high_) << 32) | low_;
  }

  uint32_t low_, high_;
};

// round_half_even(c * 2^28) of any contribution that fits.
__device__ __forceinline__ int64_t ToFixed(float c) {
  ExactSum sum;
  sum.Clear();
  sum.AddChecked(c);
  return sum.Value(false);
}

// f32(f64(sum) * 2^-28).
__device__ __forceinline__ float FromFixed(int64_t sum) {
  return __double2float_rn(
      __dmul_rn(__ll2double_rn(sum), 3.7252902984619140625e-9));
}

// The contribution of a block of an int4 linear.
__device__ __forceinline__ float Contribution(int d, float a, float s) {
  return __fmul_rn(__fmul_rn(__int2float_rn(d), a), s);
}

}  // namespace quatrain::cuda
