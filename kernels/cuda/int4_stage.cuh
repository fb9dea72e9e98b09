#pragma once

#include "kernels/cuda/int4_medium_plan.h"
#include "kernels/cuda/int4_mma.cuh"
#include "kernels/cuda/ptx.h"

// One stage of the pipeline of the product for many tokens, and how it is
// filled.
namespace quatrain::cuda::medium {

// One stage of the pipeline: the records of the block's tiles, the digits of
// its tokens, and their a and sums, all of one block of k.
template <int kDigits, int kRowTiles, bool kWide>
struct Stage {
  static constexpr int kBlockTiles = kWarpRows * kRowTiles;
  static constexpr int kTokens = BlockTokens(kDigits);
  static constexpr int kRecordPitch = Int4RecordSize(kMaxBlock, kWide);
  // With one digit 64 bytes of room keep two tokens out of each other's banks.
  static constexpr int kTokenPitch = kDigits == 2 ? 256 : 192;
  static constexpr int kDigitsAt = kBlockTiles * kRecordPitch + simt::kRedzone;
  static constexpr int kTokenBlocksAt =
      kDigitsAt + kTokens * kTokenPitch + simt::kRedzone;
  static constexpr int kBytes =
      kTokenBlocksAt + kTokens * static_cast<int>(sizeof(QuatrainDigitBlock)) +
      simt::kRedzone;

  __device__ explicit Stage(unsigned char* at) : bytes(at) {}

  __device__ void Carve() const {
    simt::carve(bytes, kBlockTiles * kRecordPitch);
    simt::carve(bytes + kDigitsAt, kTokens * kTokenPitch);
    simt::carve(bytes + kTokenBlocksAt, kTokens * sizeof(QuatrainDigitBlock));
  }
  __device__ unsigned char* record(int tile) const {
    return bytes + tile * kRecordPitch;
  }
  __device__ unsigned char* digits(int token) const {
    return bytes + kDigitsAt + token * kTokenPitch;
  }
  __device__ QuatrainDigitBlock* token_block(int token) const {
    return reinterpret_cast<QuatrainDigitBlock*>(bytes + kTokenBlocksAt) +
           token;
  }

  unsigned char* bytes;
};

// What a thread fetches of each block of k: chunks of one tile's record (a warp
// takes a tile; half the warps none where a block has but 4), chunks of the
// digits of every so many tokens, and one token's a and sum. What lies past the
// outputs or the tokens becomes 0; its source is the first one's and not read.
template <int kDigits, int kRowTiles, bool kWide, bool kUniform>
class StageFetch {
 public:
  using S = Stage<kDigits, kRowTiles, kWide>;

  __device__ StageFetch(const ProductView& op, const BlockTable& blocks,
                        int first_tile, int first_token)
      : row_tile_(threadIdx.x / 32),
        token_(threadIdx.x / kTokenChunks),
        chunk_at_(threadIdx.x % kTokenChunks * kChunkBytes),
        inside_tiles_(first_tile + row_tile_ < op.num_tiles),
        record_(op.tiles + threadIdx.x % 32 * kChunkBytes) {
    if (inside_tiles_) record_ += (first_tile + row_tile_) * op.tile_bytes;
    const size_t pitch = static_cast<size_t>(op.num_pairs) * kDigits * kPairK;
#pragma unroll
    for (int j = 0; j < kTurns; ++j) {
      const int token = first_token + token_ + j * kTurnTokens;
      inside_[j] = token < op.num_tokens;
      digits_[j] = op.digits + (inside_[j] ? token * pitch : 0) + chunk_at_;
    }
    const int token = first_token + static_cast<int>(threadIdx.x);
    inside_blocks_ = token < op.num_tokens;
    token_blocks_ =
        op.digit_blocks + (inside_blocks_ ? size_t(token) * blocks.size() : 0);
  }

  // Block b of k, whose table entry is `block`.
  __device__ __forceinline__ void Fetch(const S& stage, KBlock block, int b) {
    if (S::kBlockTiles == kThreads / 32 || row_tile_ < S::kBlockTiles)
      FetchRecord(stage, block);
    FetchDigits(stage, block);
    if (threadIdx.x < S::kTokens)
      ptx::cp_async8(stage.token_block(threadIdx.x), token_blocks_ + b,
                     inside_blocks_ ? 8 : 0);
  }

 private:
  static constexpr int kTokenChunks =
      kMaxBlock * kDigits / kChunkBytes;  // of a block of k
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

  __device__ __forceinline__ void FetchDigits(const S& stage, KBlock block) {
    const int bytes = NumPairs(block.length) * kDigits * kPairK;
    if (!kUniform && chunk_at_ >= bytes) return;
#pragma unroll
    for (int j = 0; j < kTurns; ++j)
      ptx::cp_async16(stage.digits(token_ + j * kTurnTokens) + chunk_at_,
                      digits_[j] + block.first_pair * (kDigits * kPairK),
                      inside_[j] ? kChunkBytes : 0);
  }

  int row_tile_, token_, chunk_at_;
  bool inside_tiles_, inside_blocks_, inside_[kTurns];
  const unsigned char* record_;
  const int8_t* digits_[kTurns];
  const QuatrainDigitBlock* token_blocks_;
};

}  // namespace quatrain::cuda::medium
