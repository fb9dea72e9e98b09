#pragma once

#include <cstdint>

#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_sampling.h"

// The noise of a draw (kernels/gumbel.h), on a device.
namespace quatrain::cuda {

struct PhiloxBlock {
  uint32_t words[4];
};

// Philox4x32-10.
__device__ __forceinline__ PhiloxBlock Philox(PhiloxBlock counter,
                                              uint32_t key0, uint32_t key1) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint32_t* c = counter.words;
    counter = {{__umulhi(0xCD9E8D57u, c[2]) ^ c[1] ^ key0, 0xCD9E8D57u * c[2],
                __umulhi(0xD2511F53u, c[0]) ^ c[3] ^ key1, 0xD2511F53u * c[0]}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The four words of ids 4 * group .. 4 * group + 3.
__device__ __forceinline__ PhiloxBlock DrawBits(const QuatrainSampleRow& row,
                                                uint32_t group) {
  return Philox({{group, static_cast<uint32_t>(row.position), row.choice, 0}},
                static_cast<uint32_t>(row.seed),
                static_cast<uint32_t>(row.seed >> 32));
}

__device__ __forceinline__ float GumbelOfBits(uint32_t bits) {
  const float w = __fmaf_rn(__int2float_rn(static_cast<int>(bits >> 1)),
                            0x1p-31f, 0x1p-32f);
  float x = __fsub_rn(1.0f, w);
  x = x > 0x1p-25f ? x : 0x1p-25f;
  LogParts parts = SplitForLog(x);
  parts.f = w < 0.25f ? -w : parts.f;
  parts.e = w < 0.25f ? 0.0f : parts.e;
  return -Log(-LogOfParts(parts.f, parts.e));
}

}  // namespace quatrain::cuda
