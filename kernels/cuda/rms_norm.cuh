#pragma once

#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/simt.h"

// The RMS norm of docs/numerics.md, 4, for a block of 256 threads.
namespace quatrain::cuda {

constexpr int kNormThreads = 256;  // one partial sum each

// Sums 256 values, one a thread, as a halving tree; every thread gets the sum.
// `shared` has 128 floats and is free again after the next barrier.
__device__ __forceinline__ float HalvingSum256(float value, float* shared) {
  const int i = threadIdx.x;
  if (i >= 128) shared[i - 128] = value;
  __syncthreads();
  if (i < 128) value = __fadd_rn(value, shared[i]);
  if (i >= 64 && i < 128) shared[i] = value;  // which no other thread has read
  __syncthreads();
  if (i < 64) value = __fadd_rn(value, shared[i + 64]);
  if (i >= 32 && i < 64) shared[i] = value;
  __syncthreads();
  if (i < 32) {
    value = __fadd_rn(value, shared[i + 32]);
    for (int half = 16; half > 0; half /= 2)
      value = __fadd_rn(value, __shfl_down_sync(0xffffffffu, value, half));
    if (i == 0) shared[0] = value;
  }
  __syncthreads();
  return shared[0];
}

// What every element of the row is multiplied by, before its weight.
__device__ __forceinline__ float RmsScale(const float* x, int cols, float eps,
                                          float* shared) {
  float sum = 0.0f;
  for (int d = threadIdx.x; d < cols; d += kNormThreads)
    sum = __fmaf_rn(x[d], x[d], sum);
  const float mean =
      __fdiv_rn(HalvingSum256(sum, shared), __int2float_rn(cols));
  return __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(mean, eps)));
}

}  // namespace quatrain::cuda
