// What:      the work on one row of activations before and after a product:
//            RMS norm, integer digits, the gate.
// How:       across the row's values; every value by docs/numerics.md.
// Compiled:  once per instruction set, by Highway.

#include "kernels/cpu/activations.h"
#include "kernels/cpu/hwy_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/activations_hwy.cc"
#include <cmath>
#include <cstring>
#include <limits>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/exact_sum.h"
#include "kernels/math.h"

HWY_BEFORE_NAMESPACE();
namespace quatrain {
namespace HWY_NAMESPACE {
#if QUATRAIN_HWY_USABLE
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::CappedTag<float, kTileRows>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(F32()));

constexpr int kNormSums = 256;  // interleaved partial sums

// sums[d mod 256] += x[d]^2 for one run of n <= 256 values.
HWY_INLINE void AddSquares(const float* x, int n, float* sums) {
  const F32 df;
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto v = hn::LoadU(df, x + i);
    hn::Store(hn::MulAdd(v, v, hn::Load(df, sums + i)), df, sums + i);
  }
  for (; i < n; ++i) sums[i] = std::fma(x[i], x[i], sums[i]);
}

void RmsNorm(const float* x, const float* weight, float eps, int n, float* y) {
  const F32 df;
  alignas(64) float sums[kNormSums] = {};
  for (int d = 0; d < n; d += kNormSums)
    AddSquares(x + d, n - d < kNormSums ? n - d : kNormSums, sums);
  const float sum = HalvingSum(sums, kNormSums);
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + eps);
  const auto scales = hn::Set(df, scale);
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto scaled = hn::Mul(hn::LoadU(df, x + i), scales);
    hn::StoreU(hn::Mul(scaled, hn::LoadU(df, weight + i)), df, y + i);
  }
  for (; i < n; ++i) y[i] = (x[i] * scale) * weight[i];
}

// The largest magnitude as bits, which order like the numbers; infinities and
// NaN come last.
HWY_INLINE uint32_t LargestMagnitude(const float* x, int n) {
  const F32 df;
  const hn::Rebind<int32_t, F32> di;
  auto largest = hn::Zero(di);
  for (int i = 0; i < n; i += kLanes)
    largest = hn::Max(largest, hn::BitCast(di, hn::Abs(hn::LoadU(df, x + i))));
  return static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(di, largest)));
}

// Divides, rounds half to even, returns the sum. n is padded with zeros to a
// multiple of the lanes.
HWY_INLINE int32_t RoundedQuotients(const float* x, int n, float a,
                                    int16_t* xi) {
  const F32 df;
  const hn::Rebind<int32_t, F32> di;
  const hn::Rebind<int16_t, F32> di16;
  const auto divisor = hn::Set(df, a);
  auto sum = hn::Zero(di);
  for (int i = 0; i < n; i += kLanes) {
    const auto v = hn::NearestInt(hn::Div(hn::LoadU(df, x + i), divisor));
    sum = hn::Add(sum, v);
    hn::StoreU(hn::DemoteTo(di16, v), di16, xi + i);
  }
  return hn::GetLane(hn::SumOfLanes(di, sum));
}

// Copies whole groups of 8, exchanging the middle two of every 4, which is
// kDigitOrder.
HWY_INLINE void CopyInDigitOrder(const int16_t* from, int groups, int16_t* to) {
  static_assert(kDigitOrder[1] == 2 && kDigitOrder[5] == 6);
  for (int i = 0; i < groups * 2; ++i) {
    uint64_t four;
    std::memcpy(&four, from + 4 * i, sizeof(four));
    four = (four & 0xffff00000000ffffu) | (four >> 16 & 0xffff0000u) |
           (four << 16 & 0xffff00000000u);
    std::memcpy(to + 4 * i, &four, sizeof(four));
  }
}

RowRange Digits(const float* x, const BlockList& list, int max_digits,
                int16_t* digits, float* scales, int32_t* sums) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  RowRange range;
  for (int b = 0; b < list.num_blocks(); ++b) {
    const BlockSpan& block = list.blocks[b];
    const int length = block.end - block.begin;
    alignas(64) float values[kMaxBlock + kTileRows];
    alignas(64) int16_t xi[kMaxBlock + kTileRows];
    std::memcpy(values, x + block.begin, length * sizeof(float));
    std::memset(values + length, 0, kTileRows * sizeof(float));
    const uint32_t bits = LargestMagnitude(values, length);
    if (bits >= kInfinity) range.finite = false;
    const float max_abs = bits >= kInfinity ? 0.0f : std::bit_cast<float>(bits);
    range.max_abs = max_abs > range.max_abs ? max_abs : range.max_abs;
    const float a = max_abs / static_cast<float>(max_digits);
    int16_t* out = digits + block.first_digit;
    if (a < std::numeric_limits<float>::min()) {
      scales[b] = 0.0f;
      sums[b] = 0;
      std::memset(out, 0, block.groups * kGroupK * sizeof(int16_t));
      continue;
    }
    scales[b] = a;
    std::memset(xi, 0, sizeof(xi));
    sums[b] = RoundedQuotients(values, length, a, xi);
    CopyInDigitOrder(xi, block.groups, out);
  }
  return range;
}

void Gate(const float* gate, const float* up, int n, float* y) {
  const F32 df;
  const auto marked = hn::Set(df, MarkedValue());
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto silu = HWY_NAMESPACE::Silu(df, hn::LoadU(df, gate + i));
    const auto v = hn::Mul(silu, hn::LoadU(df, up + i));
    hn::StoreU(hn::IfThenElse(hn::IsNaN(v), marked, v), df, y + i);
  }
  for (; i < n; ++i) {
    const float v = quatrain::Silu(gate[i]) * up[i];
    y[i] = v != v ? MarkedValue() : v;
  }
}

constexpr ActivationKernels kActivationKernels = {RmsNorm, Digits, Gate};

}  // namespace

const ActivationKernels& GetActivationKernels() { return kActivationKernels; }

#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/cpu/choose_target.h"

namespace quatrain {

const ActivationKernels& ActivationKernelsFor(Isa isa) {
  QUATRAIN_CHOOSE_TARGET(GetActivationKernels());
}

}  // namespace quatrain
#endif  // HWY_ONCE
