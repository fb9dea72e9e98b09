#pragma once

#include "kernels/cuda/int4_half_mma.cuh"
#include "kernels/cuda/int4_half_stage.cuh"
#include "kernels/cuda/product_output.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda::half_tile {

// One warp's part of the block's tile.
template <typename Nibbles, int kRowTiles, int kColTiles, bool kWide,
          bool kUniform>
class WarpTile {
 public:
  using S = Stage<kRowTiles, kColTiles, kWide>;
  using Sums = float[kRowTiles][kColTiles][4];

  __device__ WarpTile()
      : first_tile_(threadIdx.x / 32 % kWarpRows * kRowTiles),
        warp_token_(threadIdx.x / 32 / kWarpRows * kColTiles * 8) {}

  // Adds one block of k.
  __device__ __forceinline__ void Add(const S& stage, int length) {
    if (kUniform) length = kMaxBlock;
    RowHeader headers[kRowTiles];
    ReadHeaders(stage, length, headers);
    Sums d;
    Start(stage, headers, d);
    const int whole = WholePairs(length);
#pragma unroll
    for (int p = 0; p < kMaxPairs; ++p) {
      if (kUniform || p < whole)
        MultiplyAll<true>(stage, p, d);
      else if (p < NumPairs(length))
        MultiplyAll<false>(stage, p, d);
    }
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
      for (int n = 0; n < kColTiles; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          totals_[r][n][i] =
              __fmaf_rn(d[r][n][i], headers[r].scale[i / 2], totals_[r][n][i]);
  }

  __device__ void Store(const HalfView& op, const FloatOutput& out,
                        int block_tile, int first_token) const {
    const int g = threadIdx.x % 32 / 4;
#pragma unroll
    for (int n = 0; n < kColTiles; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int token = first_token + Token(n) + i;
        if (token >= op.num_tokens) continue;
        const float scale = op.scales[token];
#pragma unroll
        for (int r = 0; r < kRowTiles; ++r) {
          const int tile = block_tile + first_tile_ + r;
          const float low = __fmul_rn(totals_[r][n][i], scale);
          const float high = __fmul_rn(totals_[r][n][i + 2], scale);
          if (out.kind == kQuatrainGated) {
            out.StoreGated(low, high, token, tile, g);
          } else {
            out.Store(low, token, tile * kTileRows + g);
            out.Store(high, token, tile * kTileRows + g + kTileRows / 2);
          }
        }
      }
  }

 private:
  // The first of this lane's two of a tile of columns, within the block's.
  __device__ int Token(int n) const {
    return warp_token_ + n * 8 + threadIdx.x % 4 * 2;
  }

  __device__ __forceinline__ void ReadHeaders(
      const S& stage, int length, RowHeader (&headers)[kRowTiles]) const {
    const int g = threadIdx.x % 32 / 4;
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const unsigned char* at =
          stage.record(first_tile_ + r) + WeightBytes(length);
      headers[r] = ReadHeader<kWide>(
          kWide ? Load16(at + g * 16) : Load8(at + g * 8), Nibbles::kScales);
    }
  }

  // What the products of a block are added to: less the bases of its nibbles
  // and its zero.
  __device__ __forceinline__ void Start(const S& stage,
                                        const RowHeader (&headers)[kRowTiles],
                                        Sums& d) const {
#pragma unroll
    for (int n = 0; n < kColTiles; ++n) {
      const float4 both =
          *reinterpret_cast<const float4*>(stage.corrections(Token(n)));
      const float bases[2] = {both.x, both.z}, sums[2] = {both.y, both.w};
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          d[r][n][i] = __fmaf_rn(__int2float_rn(-headers[r].zero[i / 2]),
                                 sums[i % 2], -bases[i % 2]);
    }
  }

  template <bool kWhole>
  __device__ __forceinline__ void MultiplyAll(const S& stage, int p,
                                              Sums& d) const {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    uint4 words[kRowTiles];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const unsigned char* at = stage.record(first_tile_ + r) + p * kPairBytes;
      words[r] =
          kWhole ? Load16(at + lane * kChunkBytes) : Load8(at + lane * 8);
    }
    const unsigned char* halves =
        stage.halves(warp_token_ + g) + p * (kPairK * 2) + t * (16 * 2);
#pragma unroll
    for (int odd = 0; odd < 2; ++odd)
      MultiplySteps<kWhole>(words, halves + odd * kChunkBytes, odd, d);
  }

  // The even or the odd k of a pair; `halves`: of the warp's first token of
  // this lane.
  template <bool kWhole>
  __device__ __forceinline__ static void MultiplySteps(
      const uint4 (&words)[kRowTiles], const unsigned char* halves, int odd,
      Sums& d) {
    using Steps = WeightSteps<Nibbles, kWhole>;
    const auto multiply = [&](const Steps(&steps)[kRowTiles]) {
#pragma unroll
      for (int n = 0; n < kColTiles; ++n) {
        const unsigned char* at = halves + n * 8 * S::kTokenPitch;
        const uint4 x = kWhole ? Load16(at) : Load8(at);
#pragma unroll
        for (int r = 0; r < kRowTiles; ++r) steps[r].Multiply(x, d[r][n]);
      }
    };
    if constexpr (kRowTiles == 2)
      multiply({Steps(words[0], odd), Steps(words[1], odd)});
    else
      multiply({Steps(words[0], odd)});
  }

  int first_tile_;  // of the warp, within the block's tiles
  int warp_token_;  // within the block's tokens
  Sums totals_ = {};
};

}  // namespace quatrain::cuda::half_tile
