// What:      sums over k of (q - z) * xi, scaled per block, as 64-bit integers:
//            one tile of 16 outputs times up to 8 rows of activations.
// How:       per block, 16-bit multiply-add of nibbles and digits into one
//            32-bit accumulator per (row, output), started at -z * sum(xi).
//            Then one rounding per contribution (docs/numerics.md), added to
//            64-bit sums in memory.
// Compiled:  once per instruction set, by Highway.

#include "kernels/cpu/hwy_targets.h"
#include "kernels/cpu/int4_matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int4_matmul_hwy.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/fixed_sum-inl.h"
#include "kernels/cpu/load_f32-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quatrain {
namespace HWY_NAMESPACE {
#if QUATRAIN_HWY_USABLE
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using I32 = hn::CappedTag<int32_t, kTileRows>;
using I16 = hn::Repartition<int16_t, I32>;
using VI32 = hn::Vec<I32>;

constexpr int kLanes = static_cast<int>(hn::MaxLanes(I32()));
constexpr int kVectors = kTileRows / kLanes;  // of a tile

// sum + a_even * b_even + a_odd * b_odd in every 32-bit lane.
HWY_INLINE VI32 AddPairProducts(VI32 a, VI32 b, VI32 sum) {
  const I16 d16;
#if HWY_TARGET == HWY_NEON
  const int16x8_t a16 = hn::BitCast(d16, a).raw;
  const int16x8_t b16 = hn::BitCast(d16, b).raw;
  const int32x4_t low = vmull_s16(vget_low_s16(a16), vget_low_s16(b16));
  return hn::Add(sum, VI32(vpaddq_s32(low, vmull_high_s16(a16, b16))));
#else
  VI32 unused = sum;
  return hn::ReorderWidenMulAccumulate(I32(), hn::BitCast(d16, a),
                                       hn::BitCast(d16, b), sum, unused);
#endif
}

HWY_INLINE VI32 Pair(const int16_t* digits, int pair) {
  int32_t both;
  __builtin_memcpy(&both, digits + 2 * pair, sizeof(both));
  return hn::Set(I32(), both);
}

// How many of a tile's vectors are in registers together.
template <int kRows>
constexpr int VectorsAtOnce() {
  return kRows <= 2 && kVectors >= 2 ? 2 : 1;
}

// d[v][r] += the products of a block's words with row r's digits.
template <int kRows, int kV>
HWY_INLINE void AddBlock(const std::byte* words, const BlockSpan& block,
                         const DigitRows& x, VI32 (&d)[kV][kRows]) {
  const I32 di;
  const VI32 mask = hn::Set(di, 0x000f000f);
  for (int g = 0; g < block.groups; ++g) {
    const std::byte* line = words + g * kVectorBytes;
    __builtin_prefetch(line + kFarBytes, 0, 2);
    __builtin_prefetch(line + kNearBytes, 0, 3);
    for (int v = 0; v < kV; ++v) {
      const auto* lanes = reinterpret_cast<const int32_t*>(line) + v * kLanes;
      const VI32 w = hn::LoadU(di, lanes);
      const VI32 w0 = hn::And(w, mask);
      const VI32 w1 = hn::And(hn::ShiftRight<8>(w), mask);
      const VI32 w2 = hn::And(hn::ShiftRight<4>(w), mask);
      const VI32 w3 = hn::And(hn::ShiftRight<12>(w), mask);
      for (int r = 0; r < kRows; ++r) {
        const int16_t* digits =
            x.digits + r * x.digit_stride + block.first_digit + g * kGroupK;
        d[v][r] = AddPairProducts(w0, Pair(digits, 0), d[v][r]);
        d[v][r] = AddPairProducts(w1, Pair(digits, 1), d[v][r]);
        d[v][r] = AddPairProducts(w2, Pair(digits, 2), d[v][r]);
        d[v][r] = AddPairProducts(w3, Pair(digits, 3), d[v][r]);
      }
    }
  }
}

template <typename T>
HWY_INLINE void WidenScales(const T* from, float* out) {
  const hn::Rebind<float, I32> df;
  for (int i = 0; i < kHeaderLanes; i += kLanes)
    hn::Store(LoadF32(df, from + i), df, out + i);
}

// The scales of a header, whatever they are stored as.
HWY_INLINE void WidenScales(DType dtype, const std::byte* from, float* out) {
  switch (dtype) {
    case DType::kF16:
      return WidenScales(reinterpret_cast<const hwy::float16_t*>(from), out);
    case DType::kBF16:
      return WidenScales(reinterpret_cast<const hwy::bfloat16_t*>(from), out);
    default:
      return WidenScales(reinterpret_cast<const float*>(from), out);
  }
}

template <int kRows, bool kCheck>
uint32_t Tile(const Int4Tile& record, const BlockList& list, const DigitRows& x,
              int64_t* sums) {
  constexpr int kV = VectorsAtOnce<kRows>();
  const I32 di;
  const hn::Rebind<float, I32> df;
  const hn::Rebind<uint8_t, I32> du8;
  alignas(64) uint64_t fixed[kRows * kTileRows] = {};
  alignas(64) float header_scales[kHeaderLanes];
  uint32_t marks = 0;
  const std::byte* tile = record.bytes;
  const uint8_t* zeros = nullptr;
  for (int b = 0; b < list.num_blocks(); ++b) {
    const BlockSpan& block = list.blocks[b];
    if (b % kBlocksPerHeader == 0) {
      zeros = reinterpret_cast<const uint8_t*>(tile);
      WidenScales(record.scale_dtype, tile + kHeaderLanes, header_scales);
      tile += HeaderBytes(record.scale_dtype);
    }
    const float* scales = header_scales + b % kBlocksPerHeader * kTileRows;
    const uint8_t* z = zeros + b % kBlocksPerHeader * kTileRows;
    for (int first = 0; first < kVectors; first += kV) {
      VI32 d[kV][kRows];
      for (int v = 0; v < kV; ++v) {
        const VI32 zero =
            hn::PromoteTo(di, hn::LoadU(du8, z + (first + v) * kLanes));
        for (int r = 0; r < kRows; ++r)
          d[v][r] = hn::Mul(zero, hn::Set(di, -x.sums[r * x.block_stride + b]));
      }
      AddBlock<kRows, kV>(tile + first * kLanes * 4, block, x, d);
      for (int v = 0; v < kV; ++v) {
        const int lane = (first + v) * kLanes;
        const auto s = hn::LoadU(df, scales + lane);
        for (int r = 0; r < kRows; ++r) {
          const auto a = hn::Set(df, x.scales[r * x.block_stride + b]);
          const auto c = hn::Mul(hn::Mul(hn::ConvertTo(df, d[v][r]), a), s);
          if constexpr (kCheck) marks |= ContributionsFit(df, c) ? 0u : 1u << r;
          AddContributions(df, c, fixed + r * kTileRows + lane);
        }
      }
    }
    tile += block.groups * kVectorBytes;
  }
  StoreSums(fixed, kRows * kTileRows, list.num_blocks(), sums);
  return marks;
}

#define QUATRAIN_TILES                                                    \
  {                                                                       \
    {Tile<1, false>, Tile<1, true>}, {Tile<2, false>, Tile<2, true>},     \
        {Tile<3, false>, Tile<3, true>}, {Tile<4, false>, Tile<4, true>}, \
        {Tile<5, false>, Tile<5, true>}, {Tile<6, false>, Tile<6, true>}, \
        {Tile<7, false>, Tile<7, true>}, {Tile<8, false>, Tile<8, true>}, \
  }
constexpr Int4Kernels kInt4Kernels = {QUATRAIN_TILES, QUATRAIN_TILES};
#undef QUATRAIN_TILES

}  // namespace

const Int4Kernels& GetInt4Kernels() { return kInt4Kernels; }

#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/cpu/choose_target.h"

namespace quatrain {

const Int4Kernels& Int4KernelsFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512Vnni || isa == Isa::kAmx || isa == Isa::kAmxEmulated)
    return Int4KernelsVnni();
#endif
  QUATRAIN_CHOOSE_TARGET(GetInt4Kernels());
}

}  // namespace quatrain
#endif  // HWY_ONCE
