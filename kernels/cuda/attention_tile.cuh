#pragma once

#include <cstdint>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/simt.h"

// One warp over one tile of 32 keys for kRows rows. For scores a lane is a key,
// so that a score is one chain of fma over d; for values a lane is kDims dims,
// so that an element of o is one chain over the keys. All rows use what a lane
// has loaded and widened.
namespace quatrain::cuda {

// s[r] = scale * (q[r] . key); `key` is this lane's, q [kRows][head_dim].
template <typename Cache, int kRows>
__device__ __forceinline__ void Scores(const float* q, int head_dim,
                                       const unsigned char* key,
                                       float key_scale, float scale,
                                       float (&s)[kRows]) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) s[r] = 0.0f;
#pragma unroll(kPerChunk <Cache> > 8 ? 1 : 2)
  for (int d = 0; d < head_dim; d += kPerChunk<Cache>, key += 16) {
    // A copy, so that it is one load of 16 bytes: four of 4 would each meet
    // every bank four times.
    const uint4 chunk = *reinterpret_cast<const uint4*>(key);
    float k[kPerChunk<Cache>];
    WidenChunk<Cache>(chunk, key_scale, k);
#pragma unroll
    for (int e = 0; e < kPerChunk<Cache>; e += 4) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float4 x =
            *reinterpret_cast<const float4*>(q + r * head_dim + d + e);
        s[r] = __fmaf_rn(x.x, k[e], s[r]);
        s[r] = __fmaf_rn(x.y, k[e + 1], s[r]);
        s[r] = __fmaf_rn(x.z, k[e + 2], s[r]);
        s[r] = __fmaf_rn(x.w, k[e + 3], s[r]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) s[r] = __fmul_rn(s[r], scale);
}

// The largest of all lanes; a NaN does not count.
__device__ __forceinline__ float WarpMax(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(~0u, x, step);
    x = other > x ? other : x;
  }
  return x;
}

// HalvingSum of the lanes: both lanes of a pair add the same two numbers.
__device__ __forceinline__ float WarpHalvingSum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    x = __fadd_rn(x, __shfl_xor_sync(~0u, x, step));
  return x;
}

// From the score of this lane's key to its weight; m and l on every lane.
__device__ __forceinline__ float Softmax(float score, bool visible, float& m,
                                         float& l) {
  const float low = -__uint_as_float(0x7f800000u);
  // A NaN that is visible must not spread through the comparisons.
  m = WarpMax(visible && score == score ? score : low);
  const float p = visible ? Exp(__fsub_rn(score, m)) : 0.0f;
  l = WarpHalvingSum(p);
  return p;
}

// Which dims a lane owns: kParts runs of kVector, 32 * kVector apart, so that a
// warp's loads of a key lie side by side.
template <typename Cache, int kDims>
struct LaneDims {
  static constexpr int kVector =
      kDims * Cache::kBytes > 16 ? 16 / Cache::kBytes : kDims;
  static constexpr int kParts = kDims / kVector;
  __device__ static __forceinline__ int First(int part) {
    return (part * 32 + static_cast<int>(threadIdx.x % 32)) * kVector;
  }
  // A lane past the head's end.
  __device__ static __forceinline__ bool Has(int part, int head_dim) {
    return First(part) < head_dim;
  }
};

template <typename Cache, int kDims>
__device__ __forceinline__ void LoadValues(const unsigned char* row,
                                           int head_dim, float scale,
                                           float (&v)[kDims]) {
  using Dims = LaneDims<Cache, kDims>;
#pragma unroll
  for (int part = 0; part < Dims::kParts; ++part) {
    float* const out = v + part * Dims::kVector;
    if (Dims::Has(part, head_dim)) {
      WidenSome<Cache, Dims::kVector>(row + Dims::First(part) * Cache::kBytes,
                                      scale, out);
    } else {
#pragma unroll
      for (int i = 0; i < Dims::kVector; ++i) out[i] = 0.0f;
    }
  }
}

// o[r] += p[r][j] * v[j], j ascending, for a tile of which every row sees all
// keys. values: [32][row_bytes]; p: [kRows][32] in shared memory, followed by
// the keys' scales [32] where the type has them.
template <typename Cache, int kRows, int kDims>
__device__ __forceinline__ void AddValues(const unsigned char* values,
                                          int row_bytes, int head_dim,
                                          const float* p,
                                          float (&o)[kRows][kDims]) {
#pragma unroll(kRows* kDims > 16 ? 1 : 2)
  for (int j = 0; j < kAttendTile; j += 4) {
    float v[4][kDims];
    float4 scale = make_float4(1.0f, 1.0f, 1.0f, 1.0f);
    if constexpr (Cache::kScaled)
      scale = *reinterpret_cast<const float4*>(p + kRows * kAttendTile + j);
    const unsigned char* row = values + j * row_bytes;
    LoadValues<Cache>(row, head_dim, scale.x, v[0]);
    LoadValues<Cache>(row + row_bytes, head_dim, scale.y, v[1]);
    LoadValues<Cache>(row + 2 * row_bytes, head_dim, scale.z, v[2]);
    LoadValues<Cache>(row + 3 * row_bytes, head_dim, scale.w, v[3]);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float4 w =
          *reinterpret_cast<const float4*>(p + r * kAttendTile + j);
#pragma unroll
      for (int i = 0; i < kDims; ++i) {
        o[r][i] = __fmaf_rn(w.x, v[0][i], o[r][i]);
        o[r][i] = __fmaf_rn(w.y, v[1][i], o[r][i]);
        o[r][i] = __fmaf_rn(w.z, v[2][i], o[r][i]);
        o[r][i] = __fmaf_rn(w.w, v[3][i], o[r][i]);
      }
    }
  }
}

// The same for keys [begin, end) of the tile, of which row r sees those in
// [ranges[r].x, ranges[r].y), counted from the tile's first.
template <typename Cache, int kRows, int kDims>
__device__ __forceinline__ void AddSomeValues(const unsigned char* values,
                                              int row_bytes, int head_dim,
                                              const float* p, int begin,
                                              int end, const int2* ranges,
                                              int tile_begin,
                                              float (&o)[kRows][kDims]) {
  for (int j = begin; j < end; ++j) {
    float v[kDims];
    const float scale = Cache::kScaled ? p[kRows * kAttendTile + j] : 1.0f;
    LoadValues<Cache>(values + j * row_bytes, head_dim, scale, v);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int2 range = ranges[r];
      if (j + tile_begin < range.x || j + tile_begin >= range.y) continue;
      const float w = p[r * kAttendTile + j];
#pragma unroll
      for (int i = 0; i < kDims; ++i) o[r][i] = __fmaf_rn(w, v[i], o[r][i]);
    }
  }
}

}  // namespace quatrain::cuda
