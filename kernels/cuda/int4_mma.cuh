#pragma once

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table.h"

// What the exact int4 products share: one warp's 16 outputs times a few tokens,
// by integer tensor-core products. A lane is 4 g + t: it holds outputs g and
// g + 8, and of each tile of 8 columns the columns 2 t and 2 t + 1.
namespace quatrain::cuda {

// Tokens in one tile of 8 columns. With two digits, the high and the low digit
// of a token are neighbours, so that one lane has both sums.
template <int kDigits>
constexpr int kTokensPerTile = 8 / kDigits;
// And of one lane.
template <int kDigits>
constexpr int kLaneTokens = 2 / kDigits;

// A lane's part of a record in shared memory.
__device__ __forceinline__ uint4 Load16(const unsigned char* shared) {
  return *reinterpret_cast<const uint4*>(shared);
}
__device__ __forceinline__ uint4 Load8(const unsigned char* shared) {
  const uint2 words = *reinterpret_cast<const uint2*>(shared);
  return {words.x, words.y, 0, 0};
}

struct ProductView {
  const unsigned char* tiles;
  int64_t tile_bytes;
  int num_tiles;
  int scale_dtype;
  const int8_t* digits;
  const QuatrainDigitBlock* digit_blocks;
  const int32_t* states;
  int num_pairs;  // of a token's digits
  int num_tokens;
  int32_t* marks;
};

inline ProductView ViewOf(const QuatrainProduct& op) {
  const QuatrainInt4& linear = op.linear;
  return {static_cast<const unsigned char*>(linear.tiles),
          linear.tile_bytes,
          (linear.rows + kTileRows - 1) / kTileRows,
          linear.scale_dtype,
          op.x.digits,
          op.x.blocks,
          op.x.states,
          linear.num_pairs,
          op.num_tokens,
          op.marks};
}

// Scale and zero of outputs g and g + 8.
struct RowHeader {
  float scale[2];
  int zero[2];
};

__device__ __forceinline__ float WidenScale(uint32_t bits, int dtype) {
  if (dtype == kQuatrainBF16) return __uint_as_float(bits << 16);
  return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
}

// From the words of this lane's g: 2 for narrow scales, 4 for f32.
template <bool kWide>
__device__ __forceinline__ RowHeader ReadHeader(const uint4& words, int dtype) {
  if (kWide)
    return {{__uint_as_float(words.x), __uint_as_float(words.z)},
            {static_cast<int>(words.y), static_cast<int>(words.w)}};
  return {{WidenScale(words.x & 0xffffu, dtype),
           WidenScale(words.y & 0xffffu, dtype)},
          {static_cast<int>(words.x >> 16), static_cast<int>(words.y >> 16)}};
}

constexpr uint32_t kNibbles = 0x0f0f0f0fu;

// 64 k: `w` are a lane's four words, `x` its 16 digits.
__device__ __forceinline__ void MultiplyPair(const uint4& w, const uint4& x,
                                             int32_t (&d)[4]) {
  const uint32_t low[4] = {w.x & kNibbles, w.y & kNibbles, w.z & kNibbles,
                           w.w & kNibbles};
  const uint32_t high[4] = {(w.x >> 4) & kNibbles, (w.y >> 4) & kNibbles,
                            (w.z >> 4) & kNibbles, (w.w >> 4) & kNibbles};
  ptx::mma_m16n8k32_u8s8(d, low, {x.x, x.y});
  ptx::mma_m16n8k32_u8s8(d, high, {x.z, x.w});
}

// At most 32 k: two words, 8 digits.
__device__ __forceinline__ void MultiplyHalfPair(const uint4& w, const uint4& x,
                                                 int32_t (&d)[4]) {
  const uint32_t a[4] = {w.x & kNibbles, w.y & kNibbles, (w.x >> 4) & kNibbles,
                         (w.y >> 4) & kNibbles};
  ptx::mma_m16n8k32_u8s8(d, a, {x.x, x.y});
}

// What one lane needs to know of one of its tokens and this block.
struct TokenBlock {
  float a;
  int sum;
};

// The sums of one tile of 8 columns: outputs g and g + 8 of the lane's tokens.
template <int kDigits>
struct TileSums {
  ExactSum sums[2][kLaneTokens<kDigits>];

  __device__ void Clear() {
    for (int r = 0; r < 2; ++r)
      for (int i = 0; i < kLaneTokens<kDigits>; ++i) sums[r][i].Clear();
  }

  // Adds the contributions of one block. kSmall: those of all the warp's tokens
  // are small. Returns the lane's tokens (bits) that are marked by it, of which
  // there are none then.
  template <bool kSmall>
  __device__ uint32_t Add(const int32_t (&d)[4], const RowHeader& header,
                          const TokenBlock (&tokens)[kLaneTokens<kDigits>]) {
    uint32_t marked = 0;
#pragma unroll
    for (int i = 0; i < kLaneTokens<kDigits>; ++i) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int sum =
            kDigits == 2 ? 256 * d[2 * r] + d[2 * r + 1] : d[2 * r + i];
        const float c = Contribution(sum - header.zero[r] * tokens[i].sum,
                                     tokens[i].a, header.scale[r]);
        if (kSmall)
          sums[r][i].AddSmall(c);
        else if (!sums[r][i].AddChecked(c))
          marked |= 1u << i;
      }
    }
    return marked;
  }
};

}  // namespace quatrain::cuda
