#pragma once

#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/sample_key.cuh"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/simt.h"

// What a warp computes of one tile. Every lane gets the result, unless said
// otherwise.
namespace quatrain::cuda {

// The log-sum-exp of the first `size` values of the warp's tile.
__device__ __forceinline__ float TileLse(const float (&l)[kLaneValues],
                                         int size) {
  float max = __uint_as_float(0xff800000u);
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j)
    max = IndexInTile(j) < size && l[j] > max ? l[j] : max;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(~0u, max, step);
    max = other > max ? other : max;
  }
  float sums[kLaneValues];
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j)
    sums[j] = IndexInTile(j) < size ? Exp(__fsub_rn(l[j], max)) : 0.0f;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    sums[j] = __fadd_rn(sums[j], sums[j + 4]);
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
      sums[j] = __fadd_rn(sums[j], __shfl_xor_sync(~0u, sums[j], step));
  }
  const float sum =
      __fadd_rn(__fadd_rn(sums[0], sums[2]), __fadd_rn(sums[1], sums[3]));
  return __fadd_rn(max, Log(sum));
}

// Bits of the lane's values that lie before `size`.
__device__ __forceinline__ unsigned Before(int size) {
  unsigned bits = 0;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j)
    bits |= (IndexInTile(j) < size ? 1u : 0u) << j;
  return bits;
}

__device__ __forceinline__ bool AllFinite(const float (&values)[kLaneValues],
                                          unsigned valid) {
  bool finite = true;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j)
    finite = finite && ((valid >> j & 1u) == 0 || IsFinite(values[j]));
  return __all_sync(~0u, finite) != 0;
}

__device__ __forceinline__ Key Largest(const float (&values)[kLaneValues],
                                       int begin, unsigned valid) {
  Key best = kNoKey;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j)
    if ((valid >> j & 1u) != 0)
      best = MaxKey(best, KeyOf(values[j], begin + IndexInTile(j)));
  return best;
}

}  // namespace quatrain::cuda
