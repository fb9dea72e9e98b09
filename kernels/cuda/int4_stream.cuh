#pragma once

#include "kernels/cuda/int4_mma.cuh"
#include "kernels/cuda/ptx.h"

// A warp's share of the product for few tokens: records of weights straight
// from memory to registers, and the digits that meet them.
namespace quatrain::cuda {

// One record on its way.
struct Record {
  uint4 words[kMaxPairs];
  uint4 header;
};

template <bool kWide>
__device__ __forceinline__ void LoadRecord(const unsigned char* record,
                                           int length, Record& to) {
  const int lane = threadIdx.x % 32;
  const int whole = WholePairs(length);
#pragma unroll
  for (int p = 0; p < kMaxPairs; ++p)
    if (p < whole)
      to.words[p] =
          ptx::load_stream16(record + p * kPairBytes + lane * kChunkBytes);
  if (whole < NumPairs(length)) {
    const uint2 half =
        ptx::load_stream8(record + whole * kPairBytes + lane * 8);
#pragma unroll
    for (int p = 0; p < kMaxPairs; ++p)  // a register's number must be known
      if (p == whole) to.words[p] = {half.x, half.y, 0, 0};
  }
  const unsigned char* header = record + WeightBytes(length);
  if (kWide) {
    to.header = ptx::load_stream16(header + lane / 4 * 16);
  } else {
    const uint2 narrow = ptx::load_stream8(header + lane / 4 * 8);
    to.header = {narrow.x, narrow.y, 0, 0};
  }
}

// The tokens of one kernel, in tiles of 8 columns, as a lane sees them.
template <int kDigits, int kTiles>
struct LaneTokens {
  static constexpr int kEach = kLaneTokens<kDigits>;
  bool small[kTiles][kEach];
  uint32_t marked = 0;

  __device__ static int Token(int tile, int i) {
    const int t = threadIdx.x % 4;
    return tile * kTokensPerTile<kDigits> + (kDigits == 2 ? t : 2 * t + i);
  }

  __device__ explicit LaneTokens(const ProductView& op) {
    for (int n = 0; n < kTiles; ++n)
      for (int i = 0; i < kEach; ++i) {
        const int token = Token(n, i);
        small[n][i] =
            token >= op.num_tokens || op.states[token] == kQuatrainRowSmall;
      }
  }

  // Sets the marks of the tokens that met something too large.
  __device__ void StoreMarks(const ProductView& op) const {
    if (marked == 0) return;
    for (int n = 0; n < kTiles; ++n)
      for (int i = 0; i < kEach; ++i)
        if (((marked >> (n * kEach + i)) & 1) != 0)
          atomicOr(&op.marks[Token(n, i)], 1);
  }
};

// This lane's 16 digits of one pair and tile of columns; 0 past the tokens.
template <int kDigits, bool kFused>
__device__ __forceinline__ uint4 LoadDigits(const ProductView& op, int tile,
                                            int pair) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int token = tile * kTokensPerTile<kDigits> + (kDigits == 2 ? g / 2 : g);
  if (token >= op.num_tokens) return {0, 0, 0, 0};
  const size_t at =
      (static_cast<size_t>(token) * op.num_pairs + pair) * kDigits * kPairK +
      (kDigits == 2 ? g % 2 * kPairK : 0) + t * kChunkBytes;
  const uint4* from = reinterpret_cast<const uint4*>(op.digits + at);
  return kFused ? *from : __ldg(from);
}

template <int kDigits, bool kFused>
__device__ __forceinline__ void LoadTokenBlocks(
    const ProductView& op, int num_blocks, int b, int tile,
    TokenBlock (&to)[kLaneTokens<kDigits>]) {
#pragma unroll
  for (int i = 0; i < kLaneTokens<kDigits>; ++i) {
    const int token =
        LaneTokens<kDigits, 1>::Token(0, i) + tile * kTokensPerTile<kDigits>;
    to[i] = {0.0f, 0};
    if (token >= op.num_tokens) continue;
    const int2* from = reinterpret_cast<const int2*>(
        op.digit_blocks + static_cast<size_t>(token) * num_blocks + b);
    const int2 block = kFused ? *from : __ldg(from);
    to[i] = {__int_as_float(block.x), block.y};
  }
}

template <int kDigits, int kTiles, bool kWide, bool kFused>
__device__ __forceinline__ void AddRecord(const ProductView& op,
                                          const Record& record, KBlock block,
                                          int b, int num_blocks,
                                          LaneTokens<kDigits, kTiles>& tokens,
                                          TileSums<kDigits> (&sums)[kTiles]) {
  const RowHeader header = ReadHeader<kWide>(record.header, op.scale_dtype);
  const int whole = WholePairs(block.length);
  const int pairs = NumPairs(block.length);
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
    int32_t d[4] = {0, 0, 0, 0};
#pragma unroll
    for (int p = 0; p < kMaxPairs; ++p) {
      if (p >= pairs) continue;
      const uint4 x = LoadDigits<kDigits, kFused>(op, n, block.first_pair + p);
      if (p < whole)
        MultiplyPair(record.words[p], x, d);
      else
        MultiplyHalfPair(record.words[p], x, d);
    }
    TokenBlock token_blocks[kLaneTokens<kDigits>];
    LoadTokenBlocks<kDigits, kFused>(op, num_blocks, b, n, token_blocks);
    tokens.marked |= sums[n].Add(d, header, token_blocks, tokens.small[n])
                     << (n * kLaneTokens<kDigits>);
  }
}

}  // namespace quatrain::cuda
