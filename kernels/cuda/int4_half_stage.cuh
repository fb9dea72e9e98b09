#pragma once

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/int4_half_plan.h"
#include "kernels/cuda/int4_mma.cuh"
#include "kernels/cuda/ptx.h"

// One stage of the pipeline of the product with half activations, and how it is
// filled.
namespace quatrain::cuda::half_tile {

struct HalfView {
  const unsigned char* tiles;
  int64_t tile_bytes;
  int num_tiles;
  const unsigned char* halves;  // [num_tokens][64 * num_pairs]
  // [blocks of k][correction_pitch]: what the bases of the nibbles add, and the
  // sum of a token's activations.
  const float2* corrections;
  int64_t correction_pitch;
  const float* scales;  // 2^e per token
  int num_pairs;
  int num_tokens;
};

// One stage: the records of the block's tiles, the halves of its tokens, and
// their corrections, all of one block of k.
template <int kRowTiles, int kColTiles, bool kWide>
struct Stage {
  static constexpr int kTiles = BlockTiles(kRowTiles);
  static constexpr int kTokens = BlockTokens(kColTiles);
  static constexpr int kRecordPitch = Int4RecordSize(kMaxBlock, kWide);
  // 16 bytes of room keep neighbouring tokens out of each other's banks.
  static constexpr int kTokenPitch = kMaxBlock * 2 + kChunkBytes;
  static constexpr int kHalvesAt = kTiles * kRecordPitch + simt::kRedzone;
  static constexpr int kCorrectionsAt =
      kHalvesAt + kTokens * kTokenPitch + simt::kRedzone;
  static constexpr int kBytes = kCorrectionsAt +
                                kTokens * static_cast<int>(sizeof(float2)) +
                                simt::kRedzone;

  __device__ explicit Stage(unsigned char* at) : bytes(at) {}

  __device__ void Carve() const {
    simt::carve(bytes, kTiles * kRecordPitch);
    simt::carve(bytes + kHalvesAt, kTokens * kTokenPitch);
    simt::carve(bytes + kCorrectionsAt, kTokens * sizeof(float2));
  }
  __device__ unsigned char* record(int tile) const {
    return bytes + tile * kRecordPitch;
  }
  __device__ unsigned char* halves(int token) const {
    return bytes + kHalvesAt + token * kTokenPitch;
  }
  __device__ unsigned char* corrections(int token) const {
    return bytes + kCorrectionsAt + token * sizeof(float2);
  }

  unsigned char* bytes;
};

// What a thread fetches of each block of k: chunks of one tile's record (a warp
// takes a tile; half the warps none where a block has but 4), chunks of the
// halves of every so many tokens, and two tokens' corrections. What lies past
// the outputs or the tokens becomes 0; its source is the first one's and not
// read.
template <int kRowTiles, int kColTiles, bool kWide, bool kUniform>
class StageFetch {
 public:
  using S = Stage<kRowTiles, kColTiles, kWide>;

  __device__ StageFetch(const HalfView& op, int first_tile, int first_token)
      : row_tile_(threadIdx.x / 32),
        token_(threadIdx.x / kTokenChunks),
        chunk_at_(threadIdx.x % kTokenChunks * kChunkBytes),
        inside_tiles_(first_tile + row_tile_ < op.num_tiles),
        record_(op.tiles + threadIdx.x % 32 * kChunkBytes),
        num_tokens_(op.num_tokens - first_token),
        pitch_(op.num_pairs * kPairK * 2),
        correction_pitch_(op.correction_pitch) {
    if (inside_tiles_) record_ += (first_tile + row_tile_) * op.tile_bytes;
    halves_ = op.halves + first_token * static_cast<size_t>(pitch_) + chunk_at_;
    const int token = 2 * static_cast<int>(threadIdx.x);
    correction_bytes_ = min(max(num_tokens_ - token, 0), 2) * 8;
    corrections_ =
        op.corrections + first_token + (correction_bytes_ > 0 ? token : 0);
  }

  // Block b of k, whose table entry is `block`.
  __device__ __forceinline__ void Fetch(const S& stage, KBlock block, int b) {
    if (S::kTiles == kThreads / 32 || row_tile_ < S::kTiles)
      FetchRecord(stage, block);
    FetchHalves(stage, block);
    if (threadIdx.x < S::kTokens / 2)
      ptx::cp_async16(stage.corrections(2 * threadIdx.x),
                      corrections_ + b * correction_pitch_, correction_bytes_);
  }

 private:
  static constexpr int kTokenChunks =
      kMaxBlock * 2 / kChunkBytes;  // of a block of k
  static constexpr int kTurnTokens = kThreads / kTokenChunks;
  static constexpr int kTurns = S::kTokens / kTurnTokens;

  __device__ __forceinline__ void FetchRecord(const S& stage, KBlock block) {
    const int bytes =
        Int4RecordSize(kUniform ? kMaxBlock : block.length, kWide);
    const int lane_at = threadIdx.x % 32 * kChunkBytes;
#pragma unroll
    for (int at = 0; at < S::kRecordPitch; at += 32 * kChunkBytes)
      if (at + lane_at < bytes)
        ptx::cp_async16(stage.record(row_tile_) + at + lane_at,
                        record_ + block.offset + at,
                        inside_tiles_ ? kChunkBytes : 0);
  }

  __device__ __forceinline__ void FetchHalves(const S& stage, KBlock block) {
    if (!kUniform && chunk_at_ >= NumPairs(block.length) * kPairK * 2) return;
#pragma unroll
    for (int j = 0; j < kTurns; ++j) {
      const int token = token_ + j * kTurnTokens;
      const bool inside = token < num_tokens_;
      const int at =
          (inside ? token * pitch_ : 0) + block.first_pair * kPairK * 2;
      ptx::cp_async16(stage.halves(token) + chunk_at_, halves_ + at,
                      inside ? kChunkBytes : 0);
    }
  }

  int row_tile_, token_, chunk_at_, correction_bytes_;
  bool inside_tiles_;
  const unsigned char* record_;
  const unsigned char* halves_;  // of the first token
  int num_tokens_;               // from the first on
  int pitch_;                    // of a token's halves, in bytes
  const float2* corrections_;
  int64_t correction_pitch_;
};

}  // namespace quatrain::cuda::half_tile
