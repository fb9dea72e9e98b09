#pragma once

#include <cstdint>

#include "kernels/cuda/attention_mma_type.cuh"
#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/row_exponent.cuh"
#include "kernels/cuda/simt.h"

// The queries of a piece as A fragments in shared memory.
namespace quatrain::cuda {

// Where pair p of a row is among the words [row / 16][head_dim /
// 16][lane][4].
template <typename Type, int kDim>
__device__ __forceinline__ int QueryWord(int row, int p) {
  const int lane = row % 8 * 4 + Type::Quad(p % 8);
  const int element = row % 16 / 8 + Type::Word(p % 8) * 2;
  return ((row / 16 * (kDim / 16) + p / 8) * 32 + lane) * 4 + element;
}

// One row by one warp: rotated, times scale * log2(e), times 2^-e, rounded.
// Its factor is 2^e, and NaN where q is not finite or marked, so that all its
// scores are NaN. Rows past the last are zeros.
template <typename Cache, int kDim>
__device__ __forceinline__ void LoadQuery(const AttendArguments& args,
                                          const Piece& piece, int row,
                                          uint32_t* words, float* factors) {
  using Type = MmaType<Cache>;
  constexpr int kPairs = (kDim + 63) / 64;  // of a lane
  const int lane = static_cast<int>(threadIdx.x % 32);
  const bool is_real = row < piece.num_rows;
  const HeadVector head =
      args.Head(piece.entry.first_token + (is_real ? row / piece.heads : 0),
                piece.first_head + (is_real ? row % piece.heads : 0), true);
  const float scale = __fmul_rn(args.scale, 1.44269504f);
  float x[kPairs][2];
  uint32_t largest = 0;  // as bits, in which NaN and infinity are largest
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int p = lane + 32 * i;
    const int d = p / 8 * 16 + Type::Dim(p % 8);
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      x[i][e] = is_real && p < kDim / 2
                    ? __fmul_rn(head[d + e * Type::kPairStep], scale)
                    : 0.0f;
      largest = max(largest, __float_as_uint(x[i][e]) & 0x7fffffffu);
    }
  }
  largest = __reduce_max_sync(~0u, largest);
  const bool is_finite = largest < 0x7f800000u;
  const int exponent = Type::kScalesRows ? RowExponent(largest) : 127;
  const float down = PowerOfTwo(254 - exponent);
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int p = lane + 32 * i;
    if (p < kDim / 2)
      words[QueryWord<Type, kDim>(row, p)] =
          is_finite
              ? Type::Pack(__fmul_rn(x[i][0], down), __fmul_rn(x[i][1], down))
              : 0u;
  }
  if (lane == 0) factors[row] = is_finite ? PowerOfTwo(exponent) : NotANumber();
}

// All rows, and what each sees; a row past the last sees what the last does.
template <typename Cache, int kDim>
__device__ __forceinline__ void LoadQueryFragments(
    const AttendArguments& args, const Piece& piece,
    const AttendBuffers& buffers) {
  const int rows = args.rows.row_warps * kMmaRows;
  for (int row = threadIdx.x / 32; row < rows; row += blockDim.x / 32)
    LoadQuery<Cache, kDim>(args, piece, row,
                           reinterpret_cast<uint32_t*>(buffers.queries),
                           buffers.scores);
  for (int row = threadIdx.x; row < rows; row += blockDim.x)
    buffers.ranges[row] =
        piece.Range(min(row, piece.num_rows - 1), args.window);
}

}  // namespace quatrain::cuda
