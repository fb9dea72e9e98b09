#pragma once

#include <cstdint>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

// What a type of the cache is to the tensor cores. f16 and bf16 are multiplied
// as they are; int8, without its scale, and e4m3 as f16, which has all of their
// values: they are widened in registers, on the way from shared memory.
namespace quatrain::cuda {

constexpr int kKeyTiles = kAttendTile / 8;     // B fragments of K side by side
constexpr int kValueTiles = kAttendTile / 16;  // of V, one after another

struct MmaF16 {
  // q is brought to [2^14, 2^15), so that it neither overflows nor vanishes.
  static constexpr bool kScalesRows = true;
  __device__ static __forceinline__ uint32_t Pack(float low, float high) {
    return BitsOf(__floats2half2_rn(low, high));
  }
  __device__ static __forceinline__ void Mma(float (&d)[4],
                                             const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_f16(d, a, b);
  }
};

struct MmaBF16 {
  static constexpr bool kScalesRows = false;
  __device__ static __forceinline__ uint32_t Pack(float low, float high) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&both);
  }
  __device__ static __forceinline__ void Mma(float (&d)[4],
                                             const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_bf16(d, a, b);
  }
};

// --- Fragments ---------------------------------------------------------------
//
// Both kinds have, for 16 dims of a head (`step`), and with lane = 4g + t:
//
//   Dim(p)       pair p = 0 .. 7 of q's dims, Dim(p) and Dim(p) + kPairStep, is
//                word Word(p) of the two of lane t = Quad(p) of a row
//   Keys()       f(n, b): K of keys 8n .. 8n + 7, for those words
//   Values()     f(k, i, b): V of keys 16k .. 16k + 15, for accumulator i
//   Store()      what a lane has of a row of both accumulators, to its 16 dims
//   kHasNotFinite, IsNotFinite(word): whether V may be, and is

// Elements of two bytes: ldmatrix does it all.
template <typename Arithmetic, uint32_t kExponent>
struct MmaPairs : Arithmetic {
  static constexpr int kPairStep = 1;
  static constexpr bool kHasNotFinite = true;
  __device__ static __forceinline__ int Dim(int p) { return 2 * p; }
  __device__ static __forceinline__ int Quad(int p) { return p % 4; }
  __device__ static __forceinline__ int Word(int p) { return p / 4; }

  template <int kStride, typename F>
  __device__ static __forceinline__ void Keys(const unsigned char* keys,
                                              int step, F f) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    keys +=
        (lane % 8 + lane / 16 * 8) * kStride + lane / 8 % 2 * 16 + step * 32;
#pragma unroll
    for (int n = 0; n < kKeyTiles; n += 2) {
      uint32_t r[4];
      ptx::ldmatrix_x4(r, keys + n * 8 * kStride);
      f(n, {r[0], r[1]});
      f(n + 1, {r[2], r[3]});
    }
  }

  template <int kStride, typename F>
  __device__ static __forceinline__ void Values(const unsigned char* values,
                                                int step, F f) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    values += lane % 16 * kStride + lane / 16 * 16 + step * 32;
#pragma unroll
    for (int k = 0; k < kValueTiles; ++k) {
      uint32_t r[4];
      ptx::ldmatrix_x4_trans(r, values + k * 16 * kStride);
      f(k, 0, {r[0], r[1]});
      f(k, 1, {r[2], r[3]});
    }
  }

  __device__ static __forceinline__ void Store(float2 first, float2 second,
                                               float* to) {
    to += threadIdx.x % 4 * 2;
    *reinterpret_cast<float2*>(to) = first;
    *reinterpret_cast<float2*>(to + 8) = second;
  }

  __device__ static __forceinline__ bool IsNotFinite(uint32_t word) {
    constexpr uint32_t kHigh = kExponent << 16;
    return (word & kExponent) == kExponent || (word & kHigh) == kHigh;
  }
};

// Elements of one byte: to ldmatrix two neighbouring dims are one, so that a
// lane has four, of which bytes 0 and 2 are a pair, and 1 and 3. Which dims
// meet in a product does not matter, as long as q has the same order; columns
// of V are the even dims in one accumulator, the odd in the other.
template <typename Cache>
struct MmaBytes : MmaF16 {
  static constexpr int kPairStep = 2;
  __device__ static __forceinline__ int Dim(int p) { return p / 2 * 4 + p % 2; }
  __device__ static __forceinline__ int Quad(int p) { return p / 2; }
  __device__ static __forceinline__ int Word(int p) { return p % 2; }

  template <int kStride, typename F>
  __device__ static __forceinline__ void Keys(const unsigned char* keys,
                                              int step, F f) {
    uint32_t r[4];
    ptx::ldmatrix_x4(r, keys + threadIdx.x % 32 * kStride + step * 16);
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
      uint32_t b[2];
      Cache::ToHalves(r[n], b[0], b[1]);
      f(n, b);
    }
  }

  template <int kStride, typename F>
  __device__ static __forceinline__ void Values(const unsigned char* values,
                                                int step, F f) {
    uint32_t r[4];
    ptx::ldmatrix_x4_trans(r, values + threadIdx.x % 32 * kStride + step * 16);
#pragma unroll
    for (int k = 0; k < kValueTiles; ++k) {
      uint32_t b[2][2];
      Cache::ToHalves(r[2 * k], b[0][0], b[1][0]);
      Cache::ToHalves(r[2 * k + 1], b[0][1], b[1][1]);
      f(k, 0, b[0]);
      f(k, 1, b[1]);
    }
  }

  __device__ static __forceinline__ void Store(float2 first, float2 second,
                                               float* to) {
    *reinterpret_cast<float4*>(to + threadIdx.x % 4 * 4) =
        make_float4(first.x, second.x, first.y, second.y);
  }
};

template <typename Cache>
struct MmaType;

template <>
struct MmaType<CacheF16> : MmaPairs<MmaF16, 0x7c00> {};
template <>
struct MmaType<CacheBF16> : MmaPairs<MmaBF16, 0x7f80> {};
template <>
struct MmaType<CacheInt8> : MmaBytes<CacheInt8> {
  static constexpr bool kHasNotFinite = false;  // only the scale
};
template <>
struct MmaType<CacheFp8> : MmaBytes<CacheFp8> {
  static constexpr bool kHasNotFinite = true;
  __device__ static __forceinline__ bool IsNotFinite(uint32_t word) {
    return (((word & 0x7f7f7f7fu) + 0x01010101u) & 0x80808080u) != 0;
  }
};

}  // namespace quatrain::cuda
