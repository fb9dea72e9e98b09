#pragma once

#include <cstdint>

#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_attention.h"

// The KV cache as kernels see it: where a token's head lies, and one struct per
// stored type that widens and narrows. A head is a row of head_dim elements in
// chunks of 16 bytes.
namespace quatrain::cuda {

struct CacheView {
  unsigned char* data;
  float* scales;
  int block_size;
  int num_kv_heads;
  int row_bytes;

  // The row of a token's K; its V lies value_rows() later. Row r begins at byte
  // r * row_bytes, its scale is scales[r].
  __device__ __forceinline__ int64_t KeyRow(int64_t block, int offset,
                                            int kv_head) const {
    return (block * 2 * num_kv_heads + kv_head) * block_size + offset;
  }
  __device__ __forceinline__ int64_t KeyRowOfSlot(int64_t slot,
                                                  int kv_head) const {
    return KeyRow(slot / block_size, static_cast<int>(slot % block_size),
                  kv_head);
  }
  __device__ __forceinline__ int64_t value_rows() const {
    return static_cast<int64_t>(num_kv_heads) * block_size;
  }
};

inline CacheView ViewOf(const QuatrainKvCache& kv, int element_bytes) {
  return {static_cast<unsigned char*>(kv.data), kv.scales, kv.block_size,
          kv.num_kv_heads, kv.head_dim * element_bytes};
}

// Each type has: kBytes of an element; kScaled; Widen(word, scale, out), the
// 4 / kBytes elements of a word; Narrow(in, scale), their inverse. Those of one
// byte have ToHalves(word, even, odd): bytes 0 and 2, and 1 and 3, as pairs of
// f16, without their scale; exact.

__device__ __forceinline__ __half2 HalvesOf(uint32_t bits) {
  return *reinterpret_cast<const __half2*>(&bits);
}
__device__ __forceinline__ uint32_t BitsOf(__half2 halves) {
  return *reinterpret_cast<const uint32_t*>(&halves);
}

struct CacheF32 {
  static constexpr int kBytes = 4;
  static constexpr bool kScaled = false;
  __device__ static void Widen(uint32_t word, float, float* out) {
    out[0] = __uint_as_float(word);
  }
  __device__ static uint32_t Narrow(const float* in, float) {
    return __float_as_uint(in[0]);
  }
};

struct CacheF16 {
  static constexpr int kBytes = 2;
  static constexpr bool kScaled = false;
  __device__ static void Widen(uint32_t word, float, float* out) {
    const float2 both = __half22float2(*reinterpret_cast<__half2*>(&word));
    out[0] = both.x;
    out[1] = both.y;
  }
  __device__ static uint32_t Narrow(const float* in, float) {
    const uint32_t low = __half_as_ushort(__float2half_rn(in[0]));
    const uint32_t high = __half_as_ushort(__float2half_rn(in[1]));
    return low | high << 16;
  }
};

struct CacheBF16 {
  static constexpr int kBytes = 2;
  static constexpr bool kScaled = false;
  __device__ static void Widen(uint32_t word, float, float* out) {
    out[0] = __uint_as_float(word << 16);
    out[1] = __uint_as_float(word & 0xffff0000u);
  }
  __device__ static uint32_t Narrow(const float* in, float) {
    const uint32_t low = __bfloat16_as_ushort(__float2bfloat16_rn(in[0]));
    const uint32_t high = __bfloat16_as_ushort(__float2bfloat16_rn(in[1]));
    return low | high << 16;
  }
};

struct CacheInt8 {
  static constexpr int kBytes = 1;
  static constexpr bool kScaled = true;
  // A byte under the exponent of 2^23 is the number 2^23 + byte.
  __device__ static void Widen(uint32_t word, float scale, float* out) {
    const uint32_t biased = word ^ 0x80808080u;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t bits = __byte_perm(biased, 0x4b000000u, 0x7440u + i);
      out[i] = __fmul_rn(__fsub_rn(__uint_as_float(bits), 8388736.0f), scale);
    }
  }
  // Under the exponent of 2^10 it is 1024 + byte.
  __device__ static __forceinline__ uint32_t HalfPair(uint32_t bytes) {
    return BitsOf(__hsub2(HalvesOf((bytes & 0x00ff00ffu) ^ 0x64806480u),
                          HalvesOf(0x64806480u)));  // 1024 + 128
  }
  __device__ static __forceinline__ void ToHalves(uint32_t word, uint32_t& even,
                                                  uint32_t& odd) {
    even = HalfPair(word);
    odd = HalfPair(word >> 8);
  }
  __device__ static uint32_t Narrow(const float* in, float scale) {
    // A scale that is NaN says no here, too.
    if (!(scale >= 1.17549435e-38f)) return 0;
    uint32_t word = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int value = __float2int_rn(__fdiv_rn(in[i], scale));
      word |= (static_cast<uint32_t>(value) & 0xffu) << (8 * i);
    }
    return word;
  }
};

struct CacheFp8 {
  static constexpr int kBytes = 1;
  static constexpr bool kScaled = false;
  // The fields of e4m3 in those of f32, 120 exponents too low.
  __device__ static void Widen(uint32_t word, float, float* out) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t byte = word >> (8 * i);
      const uint32_t bits = (byte & 0x80u) << 24 | (byte & 0x7fu) << 20;
      const float value = __fmul_rn(__uint_as_float(bits), 1.3292280e36f);
      out[i] = (byte & 0x7fu) == 0x7fu ? NotANumber() : value;
    }
  }
  // The fields of e4m3 in those of f16, 8 exponents too low. A NaN gets the
  // largest exponent.
  __device__ static __forceinline__ uint32_t HalfPair(uint32_t sign,
                                                      uint32_t fields) {
    const uint32_t magnitude = fields & 0x3f803f80u;
    const uint32_t nan = (magnitude + 0x00800080u) & 0x40004000u;
    return BitsOf(__hmul2(HalvesOf((sign & 0x80008000u) | magnitude | nan),
                          HalvesOf(0x5c005c00u)));  // 256
  }
  __device__ static __forceinline__ void ToHalves(uint32_t word, uint32_t& even,
                                                  uint32_t& odd) {
    even = HalfPair(word << 8, word << 7);
    odd = HalfPair(word, word >> 1);
  }
  __device__ static uint32_t NarrowOne(float value) {
    const uint32_t bits = __float_as_uint(value);
    const uint32_t sign = bits >> 24 & 0x80u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7fu;
    if (magnitude >= 0x43e00000u) return sign | 0x7eu;  // 448 and more
    if (magnitude < 0x3c800000u) {                      // below 2^-6
      // Adding 2^14 leaves the result's ulp at 2^-9, the smallest step.
      const float shifted = __fadd_rn(__uint_as_float(magnitude), 16384.0f);
      return sign | (__float_as_uint(shifted) - 0x46800000u);
    }
    const uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
    return sign | (rounded - (120u << 23)) >> 20;
  }
  __device__ static uint32_t Narrow(const float* in, float) {
    return NarrowOne(in[0]) | NarrowOne(in[1]) << 8 | NarrowOne(in[2]) << 16 |
           NarrowOne(in[3]) << 24;
  }
};

template <typename Cache>
constexpr int kPerChunk = 16 / Cache::kBytes;

// The elements of one chunk.
template <typename Cache>
__device__ __forceinline__ void WidenChunk(const uint4& chunk, float scale,
                                           float (&out)[kPerChunk<Cache>]) {
  constexpr int kPerWord = 4 / Cache::kBytes;
  Cache::Widen(chunk.x, scale, out);
  Cache::Widen(chunk.y, scale, out + kPerWord);
  Cache::Widen(chunk.z, scale, out + 2 * kPerWord);
  Cache::Widen(chunk.w, scale, out + 3 * kPerWord);
}

// kCount consecutive elements, at most a chunk, aligned to their bytes.
template <typename Cache, int kCount>
__device__ __forceinline__ void WidenSome(const unsigned char* from,
                                          float scale, float* out) {
  constexpr int kSize = kCount * Cache::kBytes;
  constexpr int kPerWord = 4 / Cache::kBytes;
  if constexpr (kSize == 16) {
    const uint4 words = *reinterpret_cast<const uint4*>(from);
    Cache::Widen(words.x, scale, out);
    Cache::Widen(words.y, scale, out + kPerWord);
    Cache::Widen(words.z, scale, out + 2 * kPerWord);
    Cache::Widen(words.w, scale, out + 3 * kPerWord);
  } else if constexpr (kSize == 8) {
    const uint2 words = *reinterpret_cast<const uint2*>(from);
    Cache::Widen(words.x, scale, out);
    Cache::Widen(words.y, scale, out + kPerWord);
  } else if constexpr (kSize == 4) {
    Cache::Widen(*reinterpret_cast<const uint32_t*>(from), scale, out);
  } else {
    static_assert(kSize == 2 && kPerWord == 4);
    float four[4];
    Cache::Widen(*reinterpret_cast<const uint16_t*>(from), scale, four);
    out[0] = four[0];
    out[1] = four[1];
  }
}

}  // namespace quatrain::cuda
