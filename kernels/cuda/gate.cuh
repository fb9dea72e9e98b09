#pragma once

#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {

// A NaN that leaves a kernel is 0x7fc00000.
__device__ __forceinline__ float Canonical(float x) {
  return x != x ? NotANumber() : x;
}

// The output of a gate_up linear (docs/numerics.md, 2: after the sum).
__device__ __forceinline__ float Gated(float gate, float up) {
  return Canonical(__fmul_rn(Silu(gate), up));
}

}  // namespace quatrain::cuda
