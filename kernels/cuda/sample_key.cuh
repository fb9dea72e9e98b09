#pragma once

#include <cstdint>

#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_sampling.h"

// A value and its index as one integer that orders them as sampling does: value
// falling, then index rising, is key falling. Keys of one row are distinct, so
// every prefix of that order is "all keys from some threshold up".
namespace quatrain::cuda {

using Key = unsigned long long;  // uint64_t is another type to atomicAdd

constexpr int kIndexBits = 20;
static_assert(kQuatrainMaxVocab == 1 << kIndexBits, "");
constexpr Key kIndexMask = (Key{1} << kIndexBits) - 1;
constexpr uint32_t kOrderOfMinusInfinity = 0x007fffffu;

constexpr Key kNoKey = 0;               // below every key
constexpr Key kNotFiniteKey = ~Key{0};  // above every key

// Unsigned order of floats; -0 and +0 are equal. Not for NaN.
__device__ __forceinline__ uint32_t OrderOf(float value) {
  const uint32_t bits = value == 0.0f ? 0u : __float_as_uint(value);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float ValueOfOrder(uint32_t order) {
  return __uint_as_float((order >> 31) != 0 ? order & 0x7fffffffu : ~order);
}

__device__ __forceinline__ Key KeyOf(float value, int index) {
  return (static_cast<Key>(OrderOf(value)) << kIndexBits) |
         (kIndexMask - static_cast<Key>(index));
}
__device__ __forceinline__ float ValueOf(Key key) {
  return ValueOfOrder(static_cast<uint32_t>(key >> kIndexBits));
}
__device__ __forceinline__ int IndexOf(Key key) {
  return static_cast<int>(kIndexMask - (key & kIndexMask));
}

__device__ __forceinline__ Key MaxKey(Key a, Key b) { return a > b ? a : b; }

__device__ __forceinline__ Key WarpMax(Key key) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    key = MaxKey(key, __shfl_xor_sync(~0u, key, step));
  return key;
}

// Returns the block's largest to every thread. A second call may overwrite what
// slow warps still read, so it begins with a barrier.
template <int kThreads>
__device__ __forceinline__ Key BlockMax(Key key) {
  SIMT_SHARED(Key, warp_best, [kThreads / 32]);
  __syncthreads();
  key = WarpMax(key);
  if (threadIdx.x % 32 == 0) warp_best[threadIdx.x / 32] = key;
  __syncthreads();  // warp_best is complete
  for (int warp = 0; warp < kThreads / 32; ++warp)
    key = MaxKey(key, warp_best[warp]);
  return key;
}

}  // namespace quatrain::cuda
