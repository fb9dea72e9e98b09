#pragma once

#include "kernels/cuda/simt.h"

// Stored elements as f32; exact.
namespace quatrain::cuda {

__device__ __forceinline__ float Widen(float x) { return x; }
__device__ __forceinline__ float Widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float Widen(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

}  // namespace quatrain::cuda
