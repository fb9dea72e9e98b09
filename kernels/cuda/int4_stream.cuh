#pragma once

#include "kernels/cuda/int4_mma.cuh"
#include "kernels/cuda/ptx.h"

// A warp's share of the product for few tokens: the records of weights that it
// streams, and the digits that meet them. kUniform: all blocks are whole, so
// that nothing is looked up and nothing is half.
namespace quatrain::cuda {

constexpr int kStreamWarps = 8;  // of a block; each takes every eighth record

// Where a warp's records lie, in the order in which it takes them: its blocks
// of k of one tile, then of the next.
template <bool kWide, bool kUniform>
class RecordStream {
 public:
  static constexpr int kRecordBytes = Int4RecordSize(kMaxBlock, kWide);

  __device__ RecordStream(const ProductView& op, const BlockTable& blocks)
      : op_(op), blocks_(blocks), block_(threadIdx.x / 32), tile_(blockIdx.x) {
    if (block_ >= blocks.size()) tile_ = op.num_tiles;
    Enter();
  }

  // Starts to copy the next record to shared memory; nothing after the last.
  __device__ __forceinline__ void Fetch(unsigned char* to) {
    if (tile_ >= op_.num_tiles) return;
    const int lane = threadIdx.x % 32;
    const unsigned char* from = from_;
    int bytes = kRecordBytes;
    if (!kUniform) {
      const KBlock block = blocks_[block_];
      from += block.offset;
      bytes = Int4RecordSize(block.length, kWide);
    }
#pragma unroll
    for (int i = 0; i < kRecordBytes; i += 32 * kChunkBytes) {
      const int at = i + lane * kChunkBytes;
      if (at < bytes) ptx::cp_async16(to + at, from + at);
    }
    block_ += kStreamWarps;
    from_ += kUniform ? kStreamWarps * kRecordBytes : 0;
    if (block_ < blocks_.size()) return;
    block_ = threadIdx.x / 32;
    tile_ += gridDim.x;
    Enter();
  }

 private:
  __device__ void Enter() {
    from_ = op_.tiles + tile_ * op_.tile_bytes +
            (kUniform ? block_ * kRecordBytes : 0);
  }

  const ProductView& op_;
  const BlockTable& blocks_;
  int block_, tile_;
  const unsigned char* from_;  // the record; not uniform: its tile
};

// One lane's part of a record.
struct Record {
  uint4 words[kMaxPairs];
  uint4 header;
};

template <bool kWide, bool kUniform>
__device__ __forceinline__ Record ReadRecord(const unsigned char* record,
                                             int length) {
  const int lane = threadIdx.x % 32;
  Record to;
#pragma unroll
  for (int p = 0; p < kMaxPairs; ++p) {
    if (kUniform || p < WholePairs(length))
      to.words[p] = Load16(record + p * kPairBytes + lane * kChunkBytes);
    else if (p < NumPairs(length))
      to.words[p] = Load8(record + p * kPairBytes + lane * 8);
  }
  const unsigned char* header =
      record + WeightBytes(length) + lane / 4 * (kWide ? 16 : 8);
  to.header = kWide ? Load16(header) : Load8(header);
  return to;
}

// The tokens of one kernel, in tiles of 8 columns, as a lane sees them. The
// columns past the tokens repeat the last one, and nobody stores them.
template <int kDigits, int kTiles, bool kFused>
class LaneTokens {
 public:
  static constexpr int kEach = kLaneTokens<kDigits>;

  // block_pitch: from a token's blocks to the next one's.
  __device__ LaneTokens(const ProductView& op, int block_pitch) : op_(op) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    bool small = true;
    for (int n = 0; n < kTiles; ++n) {
      const int column = n * kTokensPerTile<kDigits>;
      const int read = Clamped(column + (kDigits == 2 ? g / 2 : g));
      digits_at_[n] = read * op.num_pairs * kDigits * kPairK +
                      (kDigits == 2 ? g % 2 * kPairK : 0) + t * kChunkBytes;
      for (int i = 0; i < kEach; ++i) {
        const int token = Clamped(Token(n, i));
        blocks_at_[n][i] = token * block_pitch;
        small = small && op.states[token] == kQuatrainRowSmall;
      }
    }
    small_ = __all_sync(0xffffffffu, small) != 0;
  }

  __device__ static int Token(int tile, int i) {
    const int t = threadIdx.x % 4;
    return tile * kTokensPerTile<kDigits> + (kDigits == 2 ? t : 2 * t + i);
  }

  // Adds block b of k: its weights times the digits.
  template <bool kUniform>
  __device__ __forceinline__ void Add(const Record& record,
                                      const RowHeader& header, KBlock block,
                                      int b,
                                      TileSums<kDigits> (&sums)[kTiles]) {
    int32_t d[kTiles][4] = {};
    TokenBlock token_blocks[kTiles][kEach];
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      Multiply<kUniform>(record, block, n, d[n]);
#pragma unroll
      for (int i = 0; i < kEach; ++i) token_blocks[n][i] = Block(n, i, b);
    }
    if (small_)
      AddContributions<true>(d, header, token_blocks, sums);
    else
      AddContributions<false>(d, header, token_blocks, sums);
  }

  // Sets the marks of the tokens that met something too large.
  __device__ void StoreMarks() const {
    if (marked_ == 0) return;
    for (int n = 0; n < kTiles; ++n)
      for (int i = 0; i < kEach; ++i)
        if (((marked_ >> (n * kEach + i)) & 1) != 0)
          atomicOr(&op_.marks[Clamped(Token(n, i))], 1);
  }

  // Whether the contributions of all tokens are; else all take the long way,
  // since a warp with both would wait for both.
  __device__ bool small() const { return small_; }

 private:
  __device__ int Clamped(int token) const {
    return min(token, op_.num_tokens - 1);
  }

  template <bool kUniform>
  __device__ __forceinline__ void Multiply(const Record& record, KBlock block,
                                           int tile, int32_t (&d)[4]) const {
    const int whole = kUniform ? kMaxPairs : WholePairs(block.length);
    const int pairs = kUniform ? kMaxPairs : NumPairs(block.length);
    const int8_t* digits =
        op_.digits + (digits_at_[tile] + block.first_pair * (kDigits * kPairK));
#pragma unroll
    for (int p = 0; p < kMaxPairs; ++p) {
      if (p >= pairs) continue;
      const uint4* from =
          reinterpret_cast<const uint4*>(digits + p * kDigits * kPairK);
      const uint4 x = kFused ? *from : __ldg(from);
      if (p < whole)
        MultiplyPair(record.words[p], x, d);
      else
        MultiplyHalfPair(record.words[p], x, d);
    }
  }

  template <bool kSmall>
  __device__ __forceinline__ void AddContributions(
      const int32_t (&d)[kTiles][4], const RowHeader& header,
      const TokenBlock (&blocks)[kTiles][kEach],
      TileSums<kDigits> (&sums)[kTiles]) {
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
      marked_ |= sums[n].template Add<kSmall>(d[n], header, blocks[n])
                 << (n * kEach);
  }

  __device__ TokenBlock Block(int tile, int i, int b) const {
    const int2* from = reinterpret_cast<const int2*>(op_.digit_blocks +
                                                     (blocks_at_[tile][i] + b));
    const int2 block = kFused ? *from : __ldg(from);
    return {__int_as_float(block.x), block.y};
  }

  const ProductView& op_;
  int digits_at_[kTiles];         // of pair 0
  int blocks_at_[kTiles][kEach];  // of block 0
  bool small_;
  uint32_t marked_ = 0;
};

}  // namespace quatrain::cuda
