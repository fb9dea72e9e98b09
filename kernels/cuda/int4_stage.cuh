#pragma once

#include "kernels/cuda/int4_mma.cuh"
#include "kernels/cuda/ptx.h"

// One stage of the pipeline of the product for many tokens, and how it is
// filled.
namespace quatrain::cuda::medium {

constexpr int kWarpRows = 4;  // warps along the outputs
constexpr int kWarpCols = 2;  // and along the tokens
constexpr int kThreads = kWarpRows * kWarpCols * 32;
constexpr int kTiles = 4;  // tiles of 8 columns per warp

template <int kDigits>
constexpr int kBlockTokens = kWarpCols* kTiles* kTokensPerTile<kDigits>;

// One stage of the pipeline: the records of the block's tiles, the digits of
// its tokens, and their a and sums, all of one block of k.
template <int kDigits, int kRowTiles, bool kWide>
struct Stage {
  static constexpr int kBlockTiles = kWarpRows * kRowTiles;
  static constexpr int kTokens = kBlockTokens<kDigits>;
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

// Fetches block b of k. What lies past the outputs or the tokens becomes 0.
template <int kDigits, int kRowTiles, bool kWide>
__device__ __forceinline__ void Fetch(
    const ProductView& op, const BlockTable& blocks, int b, int first_tile,
    int first_token, const Stage<kDigits, kRowTiles, kWide>& stage) {
  using S = Stage<kDigits, kRowTiles, kWide>;
  const KBlock block = blocks[b];
  const int record_chunks = Int4RecordSize(block.length, kWide) / kChunkBytes;
  for (int i = threadIdx.x; i < S::kBlockTiles * record_chunks; i += kThreads) {
    const int tile = i / record_chunks, chunk = i % record_chunks;
    const bool inside = first_tile + tile < op.num_tiles;
    const int64_t from = inside ? (first_tile + tile) * op.tile_bytes +
                                      block.offset + chunk * kChunkBytes
                                : 0;
    ptx::cp_async16(stage.record(tile) + chunk * kChunkBytes, op.tiles + from,
                    inside ? kChunkBytes : 0);
  }
  const int token_chunks =
      NumPairs(block.length) * kDigits * kPairK / kChunkBytes;
  for (int i = threadIdx.x; i < S::kTokens * token_chunks; i += kThreads) {
    const int token = i / token_chunks, chunk = i % token_chunks;
    const bool inside = first_token + token < op.num_tokens;
    const size_t pair =
        inside ? static_cast<size_t>(first_token + token) * op.num_pairs +
                     block.first_pair
               : 0;
    ptx::cp_async16(stage.digits(token) + chunk * kChunkBytes,
                    op.digits + pair * kDigits * kPairK +
                        (inside ? chunk * kChunkBytes : 0),
                    inside ? kChunkBytes : 0);
  }
  for (int i = threadIdx.x; i < S::kTokens; i += kThreads) {
    const bool inside = first_token + i < op.num_tokens;
    const size_t at =
        inside ? static_cast<size_t>(first_token + i) * blocks.size() + b : 0;
    ptx::cp_async8(stage.token_block(i), op.digit_blocks + at, inside ? 8 : 0);
  }
}

}  // namespace quatrain::cuda::medium
