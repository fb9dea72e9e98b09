#pragma once

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/warp_ring.cuh"

// What a warp of the dense product streams: chunks of its tiles of weights, and
// the activations that meet them.
namespace quatrain::cuda::dense {

constexpr int kWarps = 8;  // of a block; each takes every eighth block of k
constexpr int kRowOfChunks = kDenseTileRows * kChunkBytes;

struct DenseView {
  const unsigned char* tiles;
  int64_t tile_bytes;
  int num_tiles;
  const float* x;
  int64_t x_stride;
  const int32_t* x_marks;
  int num_tokens;
  int32_t* marks;
};

// What a kernel's warp has in a slot of its ring: chunks of its tiles, and the
// activations of all tokens that meet them.
template <typename T, int kTokens>
struct Shape {
  static constexpr int kElements = kChunkBytes / static_cast<int>(sizeof(T));
  // Chunks that a lane copies together, and groups of them in flight: the more
  // a token costs, the less it matters how often a warp goes to fetch.
  static constexpr int kGroup = kTokens <= 4 ? 4 : 2;
  static constexpr int kAhead = 8 / kGroup;
  static constexpr int kGroupK = kGroup * kElements;
  static constexpr int kTiles = kTokens == 1 ? 1 : 2;
  static constexpr int kTileBytes = kGroup * kRowOfChunks;
  static constexpr int kActivationsAt = kTiles * kTileBytes;
  using Ring = WarpRing<kAhead, kActivationsAt + kTokens * kGroupK * 4>;
  static_assert(kTokens * kTiles * kDenseTileRows * 8 <= Ring::kBytes,
                "a warp leaves its sums where its ring was");
};

// A warp's way through its blocks of k, a group of chunks at a time.
template <int kGroupK>
struct Cursor {
  int b;
  int k;  // within the block
  KBlock block;

  __device__ Cursor(const BlockTable& blocks, int warp) : block{} {
    Enter(blocks, warp);
  }
  __device__ void Enter(const BlockTable& blocks, int to) {
    b = to;
    k = 0;
    if (b < blocks.size()) block = blocks[b];
  }
  __device__ bool AtLastGroup() const { return k + kGroupK >= block.length; }
  __device__ void Advance(const BlockTable& blocks) {
    if (AtLastGroup())
      Enter(blocks, b + kWarps);
    else
      k += kGroupK;
  }
};

// Starts the copies of groups to a warp's ring.
template <typename T, int kTokens>
class GroupFetch {
 public:
  using S = Shape<T, kTokens>;

  __device__ GroupFetch(const DenseView& op, int first_token)
      : x_(op.x + first_token * op.x_stride),
        aligned_(reinterpret_cast<uintptr_t>(x_) % 8 == 0 &&
                 op.x_stride % 2 == 0) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int r = 0; r < S::kTiles; ++r)  // past the last: that one once more
      tiles_[r] =
          op.tiles + lane * kChunkBytes +
          min(static_cast<int>(blockIdx.x) * S::kTiles + r, op.num_tiles - 1) *
              op.tile_bytes;
#pragma unroll
    for (int j = 0; j < kTurns; ++j) {
      const int token = (lane + 32 * j) / kPieces;  // likewise
      rows_[j] = min(token, op.num_tokens - first_token - 1) *
                 static_cast<int>(op.x_stride);
    }
  }

  __device__ __forceinline__ void Fetch(const Cursor<S::kGroupK>& at,
                                        unsigned char* to) const {
    const int lane = threadIdx.x % 32;
    const int offset = at.block.offset + at.k * (kRowOfChunks / S::kElements);
#pragma unroll
    for (int i = 0; i < S::kGroup; ++i)
      if (at.k + i * S::kElements < at.block.length)
#pragma unroll
        for (int r = 0; r < S::kTiles; ++r)
          ptx::cp_async16(
              to + r * S::kTileBytes + i * kRowOfChunks + lane * kChunkBytes,
              tiles_[r] + offset + i * kRowOfChunks);
#pragma unroll
    for (int j = 0; j < kTurns; ++j)
      if (kTurns > 1 || lane < kTokens * kPieces)
        FetchActivations(
            at, rows_[j], lane % kPieces * 2,
            to + S::kActivationsAt + (lane + 32 * j) * kPieceBytes);
  }

 private:
  static constexpr int kPieceBytes = 8;
  static constexpr int kPieces = S::kGroupK / 2;  // of a token
  static constexpr int kTurns = (kTokens * kPieces + 31) / 32;

  // Two activations, 0 past the block.
  __device__ __forceinline__ void FetchActivations(const Cursor<S::kGroupK>& at,
                                                   int row, int k,
                                                   unsigned char* to) const {
    const int left = min(max(at.block.length - at.k - k, 0), 2);
    const float* from = x_ + row + (left > 0 ? at.block.begin + at.k + k : 0);
    if (aligned_ && at.block.begin % 2 == 0) {
      ptx::cp_async8(to, from, left * 4);
    } else {
      ptx::cp_async4(to, from, left > 0 ? 4 : 0);
      ptx::cp_async4(to + 4, left > 1 ? from + 1 : from, left > 1 ? 4 : 0);
    }
  }

  const float* x_;
  bool aligned_;
  const unsigned char* tiles_[S::kTiles];
  int rows_[kTurns];
};

}  // namespace quatrain::cuda::dense
