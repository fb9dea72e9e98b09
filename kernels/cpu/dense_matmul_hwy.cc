// What:      sums over k of w * x as 64-bit integers: one tile of 16 outputs
//            times up to 8 rows of activations.
// How:       outputs across lanes; per block one f32 accumulator per (row,
//            output), fused multiply-add, k ascending. Then one rounding per
//            contribution (docs/numerics.md).
// Compiled:  once per instruction set, by Highway.

#include "kernels/cpu/dense_matmul.h"
#include "kernels/cpu/hwy_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dense_matmul_hwy.cc"
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

using F32 = hn::CappedTag<float, kTileRows>;
using VF32 = hn::Vec<F32>;

constexpr int kLanes = static_cast<int>(hn::MaxLanes(F32()));
constexpr int kVectors = kTileRows / kLanes;  // of a tile

// How many of a tile's vectors are in registers together: enough chains of
// multiply-adds to hide their latency, few enough to fit.
template <int kRows>
constexpr int VectorsAtOnce() {
  return kRows <= 2 ? kVectors : kRows <= 4 && kVectors >= 2 ? 2 : 1;
}

// How many blocks of k are summed together: more chains, where a tile's vectors
// are few.
template <int kRows>
constexpr int BlocksAtOnce() {
  return kRows == 1 && kVectors <= 2 ? 4 : kRows <= 2 && kVectors == 1 ? 2 : 1;
}

// Blocks first .. first + kB - 1, which are equally long and follow each other.
template <typename T, int kRows, int kV, int kB>
HWY_INLINE void MultiplyBlocks(const T* w, const BlockSpan& first,
                               const float* x, ptrdiff_t x_stride,
                               VF32 (&c)[kB][kV][kRows]) {
  const F32 df;
  const int length = first.end - first.begin;
  for (int b = 0; b < kB; ++b)
    for (int v = 0; v < kV; ++v)
      for (int r = 0; r < kRows; ++r) c[b][v][r] = hn::Zero(df);
  for (int i = 0; i < length; ++i) {
    for (int b = 0; b < kB; ++b) {
      const int k = first.begin + b * length + i;
      const T* line = w + static_cast<ptrdiff_t>(k) * kTileRows;
      if constexpr (kRows <= 2)  // what is read when these blocks are done
        __builtin_prefetch(line + (kB > 1 ? kB * length * kTileRows
                                          : 2048 / static_cast<int>(sizeof(T))),
                           0, 3);
      for (int v = 0; v < kV; ++v) {
        const VF32 weights = LoadF32(df, line + v * kLanes);
        for (int r = 0; r < kRows; ++r)
          c[b][v][r] =
              hn::MulAdd(weights, hn::Set(df, x[r * x_stride + k]), c[b][v][r]);
      }
    }
  }
}

// Adds the contributions of kB blocks. Returns a bit for each row of which one
// does not fit.
template <typename T, int kRows, int kB>
HWY_INLINE uint32_t AddBlocks(const T* weights, const BlockSpan& block,
                              const float* x, ptrdiff_t x_stride,
                              uint64_t* fixed) {
  constexpr int kV = VectorsAtOnce<kRows>();
  const F32 df;
  uint32_t marks = 0;
  for (int first = 0; first < kVectors; first += kV) {
    VF32 c[kB][kV][kRows];
    MultiplyBlocks<T, kRows, kV, kB>(weights + first * kLanes, block, x,
                                     x_stride, c);
    for (int b = 0; b < kB; ++b) {
      for (int v = 0; v < kV; ++v) {
        for (int r = 0; r < kRows; ++r) {
          marks |= ContributionsFit(df, c[b][v][r]) ? 0u : 1u << r;
          AddContributions(df, c[b][v][r],
                           fixed + r * kTileRows + (first + v) * kLanes);
        }
      }
    }
  }
  return marks;
}

HWY_INLINE bool EquallyLong(const BlockSpan* blocks, int count) {
  const int length = blocks->end - blocks->begin;
  for (int b = 1; b < count; ++b)
    if (blocks[b].end - blocks[b].begin != length) return false;
  return true;
}

template <typename T, int kRows>
uint32_t Tile(const std::byte* tile, const BlockList& list, const float* x,
              ptrdiff_t x_stride, int64_t* sums) {
  constexpr int kB = BlocksAtOnce<kRows>();
  alignas(64) uint64_t fixed[kRows * kTileRows] = {};
  uint32_t marks = 0;
  const T* weights = reinterpret_cast<const T*>(tile);
  const int num_blocks = list.num_blocks();
  for (int b = 0; b < num_blocks;) {
    const BlockSpan* block = &list.blocks[b];
    const bool together = b + kB <= num_blocks && EquallyLong(block, kB);
    marks |= together
                 ? AddBlocks<T, kRows, kB>(weights, *block, x, x_stride, fixed)
                 : AddBlocks<T, kRows, 1>(weights, *block, x, x_stride, fixed);
    b += together ? kB : 1;
  }
  StoreSums(fixed, kRows * kTileRows, num_blocks, sums);
  return marks;
}

#define QUATRAIN_ROWS(T)                                                    \
  {                                                                         \
    Tile<T, 1>, Tile<T, 2>, Tile<T, 3>, Tile<T, 4>, Tile<T, 5>, Tile<T, 6>, \
        Tile<T, 7>, Tile<T, 8>                                              \
  }
constexpr DenseKernels kDenseKernels = {QUATRAIN_ROWS(hwy::float16_t),
                                        QUATRAIN_ROWS(hwy::bfloat16_t),
                                        QUATRAIN_ROWS(float)};
#undef QUATRAIN_ROWS

}  // namespace

const DenseKernels& GetDenseKernels() { return kDenseKernels; }

#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/cpu/choose_target.h"

namespace quatrain {

const DenseKernels& DenseKernelsFor(Isa isa) {
  QUATRAIN_CHOOSE_TARGET(GetDenseKernels());
}

}  // namespace quatrain
#endif  // HWY_ONCE
