#pragma once

#include "kernels/cuda/int4_stage.cuh"
#include "kernels/cuda/product_output.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda::medium {

// One warp's part of the block's tile.
template <int kDigits, int kRowTiles, bool kWide, bool kUniform>
class WarpTile {
 public:
  using S = Stage<kDigits, kRowTiles, kWide>;
  static constexpr int kEach = kLaneTokens<kDigits>;
  static constexpr int kSums = kRowTiles * kTiles * kEach * 2;  // of a lane

  __device__ WarpTile(const ProductView& op, int first_token)
      : first_tile_(threadIdx.x / 32 % kWarpRows * kRowTiles),
        warp_token_(threadIdx.x / 32 / kWarpRows * kTiles *
                    kTokensPerTile<kDigits>) {
    bool small = true;
    for (int n = 0; n < kTiles; ++n)
      for (int i = 0; i < kEach; ++i) {
        const int token = first_token + Token(n, i);
        small = small && (token >= op.num_tokens ||
                          op.states[token] == kQuatrainRowSmall);
        for (int r = 0; r < kRowTiles; ++r) sums_[r][n].Clear();
      }
    small_ = __all_sync(0xffffffffu, small) != 0;
  }

  // Adds one block of k.
  __device__ __forceinline__ void Add(const S& stage, int length,
                                      int scale_dtype) {
    if (kUniform) length = kMaxBlock;
    int32_t d[kRowTiles][kTiles][4] = {};
    const int whole = WholePairs(length);
#pragma unroll
    for (int p = 0; p < kMaxPairs; ++p) {
      if (kUniform || p < whole)
        MultiplyAll<true>(stage, p, d);
      else if (p < NumPairs(length))
        MultiplyAll<false>(stage, p, d);
    }
    if (small_)
      AddContributions<true>(stage, length, scale_dtype, d);
    else
      AddContributions<false>(stage, length, scale_dtype, d);
  }

  __device__ void StoreMarks(const ProductView& op, int first_token) const {
    if (marked_ == 0) return;
    for (int n = 0; n < kTiles; ++n)
      for (int i = 0; i < kEach; ++i) {
        const int token = first_token + Token(n, i);
        if (token < op.num_tokens && ((marked_ >> (n * kEach + i)) & 1) != 0)
          atomicOr(&op.marks[token], 1);
      }
  }

  // What the lane has summed, at SumIndex().
  __device__ __forceinline__ void Sums(int64_t (&sums)[kSums]) const {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
      for (int n = 0; n < kTiles; ++n)
#pragma unroll
        for (int i = 0; i < kEach; ++i)
#pragma unroll
          for (int half = 0; half < 2; ++half)
            sums[SumIndex(r, n, i, half)] =
                sums_[r][n].sums[half][i].Value(small_);
  }

  __device__ void Store(const ProductView& op, const ProductOutput& out,
                        int block_tile, int first_token,
                        const int64_t (&sums)[kSums]) const {
    const int g = threadIdx.x % 32 / 4;
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const int token = first_token + Token(n, i);
        if (token >= op.num_tokens) continue;
#pragma unroll
        for (int r = 0; r < kRowTiles; ++r) {
          const int tile = block_tile + first_tile_ + r;
          const int64_t low = sums[SumIndex(r, n, i, 0)];
          const int64_t high = sums[SumIndex(r, n, i, 1)];
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
  __device__ static constexpr int SumIndex(int r, int n, int i, int half) {
    return ((r * kTiles + n) * kEach + i) * 2 + half;
  }

  // Within the block's tokens.
  __device__ int Token(int n, int i) const {
    const int t = threadIdx.x % 4;
    return warp_token_ + n * kTokensPerTile<kDigits> +
           (kDigits == 2 ? t : 2 * t + i);
  }

  template <bool kWhole>
  __device__ void MultiplyAll(const S& stage, int p,
                              int32_t (&d)[kRowTiles][kTiles][4]) const {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    uint4 words[kRowTiles];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const unsigned char* at = stage.record(first_tile_ + r) + p * kPairBytes;
      words[r] =
          kWhole ? Load16(at + lane * kChunkBytes) : Load8(at + lane * 8);
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      const int token = warp_token_ + n * kTokensPerTile<kDigits> +
                        (kDigits == 2 ? g / 2 : g);
      const uint4 x = *reinterpret_cast<const uint4*>(
          stage.digits(token) + p * kDigits * kPairK +
          (kDigits == 2 ? g % 2 * kPairK : 0) + t * kChunkBytes);
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        if (kWhole)
          MultiplyPair(words[r], x, d[r][n]);
        else
          MultiplyHalfPair(words[r], x, d[r][n]);
      }
    }
  }

  template <bool kSmall>
  __device__ __forceinline__ void AddContributions(
      const S& stage, int length, int scale_dtype,
      const int32_t (&d)[kRowTiles][kTiles][4]) {
    const int g = threadIdx.x % 32 / 4;
    RowHeader headers[kRowTiles];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const unsigned char* at =
          stage.record(first_tile_ + r) + WeightBytes(length);
      headers[r] = ReadHeader<kWide>(
          kWide ? Load16(at + g * 16) : Load8(at + g * 8), scale_dtype);
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      TokenBlock tokens[kEach];
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const float2 block =
            *reinterpret_cast<const float2*>(stage.token_block(Token(n, i)));
        tokens[i] = {block.x, __float_as_int(block.y)};
      }
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r)
        marked_ |= sums_[r][n].template Add<kSmall>(d[r][n], headers[r], tokens)
                   << (n * kEach);
    }
  }

  int first_tile_;  // of the warp, within the block's tiles
  int warp_token_;  // within the block's tokens
  bool small_;      // the contributions of all the warp's tokens
  uint32_t marked_ = 0;
  TileSums<kDigits> sums_[kRowTiles][kTiles];
};

}  // namespace quatrain::cuda::medium
