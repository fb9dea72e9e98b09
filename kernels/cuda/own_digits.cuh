#pragma once

#include "kernels/cuda/digits.cuh"
#include "kernels/cuda/int4_mma.cuh"

namespace quatrain::cuda {

// The digits that a block of threads makes for itself, in dynamic shared
// memory.
template <int kDigits>
struct OwnDigits {
  // From a token's blocks to the next one's: odd, so that the blocks that four
  // tokens have of one k, 8 bytes each, lie in different banks.
  __host__ __device__ static constexpr int BlockPitch(int num_blocks) {
    return num_blocks | 1;
  }

  // Pairs from a token's digits to the next one's, for the same reason: with
  // one digit two tokens share a pass of 128 bytes.
  __host__ __device__ static constexpr int PairPitch(int num_pairs) {
    return kDigits == 1 ? num_pairs | 1 : num_pairs;
  }

  int64_t blocks_at, states_at, bytes;

  __host__ __device__ OwnDigits(int tokens, int num_pairs, int num_blocks)
      : blocks_at(int64_t{tokens} * PairPitch(num_pairs) * kDigits * kPairK +
                  static_cast<int64_t>(simt::kRedzone)),
        states_at(blocks_at +
                  int64_t{tokens} * BlockPitch(num_blocks) *
                      static_cast<int64_t>(sizeof(QuatrainDigitBlock)) +
                  static_cast<int64_t>(simt::kRedzone)),
        bytes(states_at + tokens * static_cast<int64_t>(sizeof(int32_t)) +
              static_cast<int64_t>(simt::kRedzone)) {}

  // Makes the digits of all tokens and points `op` at them.
  __device__ void Make(const RowSource& source, const BlockTable& blocks,
                       unsigned char* shared, ProductView& op) const {
    SIMT_SHARED(float, sums, [128]);
    SIMT_SHARED(uint32_t, row_max, [kDigitWarps]);
    simt::carve(shared, blocks_at - simt::kRedzone);
    simt::carve(shared + blocks_at, states_at - blocks_at - simt::kRedzone);
    simt::carve(shared + states_at, bytes - states_at - simt::kRedzone);
    op.num_pairs = PairPitch(op.num_pairs);
    int8_t* digits = reinterpret_cast<int8_t*>(shared);
    QuatrainDigitBlock* digit_blocks =
        reinterpret_cast<QuatrainDigitBlock*>(shared + blocks_at);
    int32_t* states = reinterpret_cast<int32_t*>(shared + states_at);
    for (int token = 0; token < op.num_tokens; ++token) {
      const Row row = source.Open(token, sums);
      const int state = MakeRow<kDigits>(
          source, row, blocks, digits + token * op.num_pairs * kDigits * kPairK,
          digit_blocks + token * BlockPitch(blocks.size()), row_max);
      if (threadIdx.x == 0) {
        states[token] = state;
        if (blockIdx.x == 0 && state == kQuatrainRowNotFinite)
          atomicOr(&op.marks[token], 1);
      }
      __syncthreads();
    }
    op.digits = digits;
    op.digit_blocks = digit_blocks;
    op.states = states;
  }
};

}  // namespace quatrain::cuda
