#pragma once

#include <cstdint>

#include "kernels/cuda/simt.h"

namespace quatrain::cuda {

// The power of two 2^e by which a row is divided before it becomes f16, as a
// biased exponent: that of the row's largest value less 14, so that it lands in
// [2^14, 2^15), within what f32 has. max_bits: of the largest |value|.
__device__ __forceinline__ int RowExponent(uint32_t max_bits) {
  const int exponent = static_cast<int>(max_bits >> 23) - 14;
  return max_bits == 0 ? 127 : max(exponent, 1);
}

// 2^(biased - 127), biased in 1 .. 254; 0 gives 0.
__device__ __forceinline__ float PowerOfTwo(int biased) {
  return __uint_as_float(static_cast<uint32_t>(biased) << 23);
}

}  // namespace quatrain::cuda
