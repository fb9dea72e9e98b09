#pragma once

#include <cstdint>

#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/simt.h"

// A head of one token on its way from qkv to the cache or to its scores.
namespace quatrain::cuda {

// The elements of a head, rotated: docs/numerics.md, 5. With num_freqs 0
// nothing is.
struct HeadVector {
  const float* x;
  const float2* rope;  // of the token: cos, sin
  int num_freqs;
  bool is_marked;

  __device__ __forceinline__ float operator[](int d) const {
    if (is_marked) return NotANumber();
    if (d >= 2 * num_freqs) return x[d];
    const int i = d < num_freqs ? d : d - num_freqs;
    const float2 angle = rope[i];
    const float a = x[i];
    const float b = x[i + num_freqs];
    return d < num_freqs ? __fmaf_rn(a, angle.x, -__fmul_rn(b, angle.y))
                         : __fmaf_rn(b, angle.x, __fmul_rn(a, angle.y));
  }
};

// The scale of a head of int8, by one warp. NaN where a value is not finite.
__device__ inline float HeadScale(const HeadVector& head, int head_dim) {
  uint32_t largest = 0;  // as bits, in which NaN and infinity are largest
  for (int d = threadIdx.x % 32; d < head_dim; d += 32)
    largest = max(largest, __float_as_uint(head[d]) & 0x7fffffffu);
  largest = __reduce_max_sync(~0u, largest);
  const float a = __fdiv_rn(__uint_as_float(largest), 127.0f);
  return IsFinite(a) ? a : NotANumber();
}

// Stores one head, by one warp, to `row` of the cache if that is not negative,
// and to `shared` if that is not null. Returns its scale, where the type has
// one, else 1.
template <typename Cache>
__device__ inline float StoreHead(const HeadVector& head, int head_dim,
                                  const CacheView& kv, int64_t row,
                                  unsigned char* shared) {
  constexpr int kPerWord = 4 / Cache::kBytes;
  const int lane = threadIdx.x % 32;
  float scale = 1.0f;
  if constexpr (Cache::kScaled) {
    scale = HeadScale(head, head_dim);
    if (row >= 0 && lane == 0) kv.scales[row] = scale;
  }
  uint32_t* const to = reinterpret_cast<uint32_t*>(
      kv.data + (row >= 0 ? row : 0) * kv.row_bytes);
  for (int w = lane; w < head_dim / kPerWord; w += 32) {
    float values[kPerWord];
#pragma unroll
    for (int i = 0; i < kPerWord; ++i) values[i] = head[w * kPerWord + i];
    const uint32_t word = Cache::Narrow(values, scale);
    if (row >= 0) to[w] = word;
    if (shared != nullptr) reinterpret_cast<uint32_t*>(shared)[w] = word;
  }
  return scale;
}

}  // namespace quatrain::cuda
