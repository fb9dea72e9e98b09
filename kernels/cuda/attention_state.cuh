#pragma once

#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/simt.h"

// The state of a softmax over some keys, (m, l, o[d]), and how a later one is
// merged into it: docs/numerics.md, 5. m is NaN where there were no keys yet;
// the largest score is never NaN.
namespace quatrain::cuda {

__device__ __forceinline__ float NoKeys() { return NotANumber(); }
__device__ __forceinline__ bool HasKeys(float m) { return m == m; }

__device__ __forceinline__ float MergedMax(float m, float later) {
  if (!HasKeys(later)) return m;
  if (!HasKeys(m)) return later;
  return m > later ? m : later;
}

// The factors of both sides; negative: that side has no keys. (Exp is not
// negative, and NaN compares false.)
struct MergeWeights {
  float a, b;

  __device__ __forceinline__ bool takes_later() const { return !(b < 0.0f); }
};

__device__ __forceinline__ MergeWeights WeightsOf(float m, float later) {
  if (!HasKeys(later)) return {1.0f, -1.0f};
  if (!HasKeys(m)) return {-1.0f, 1.0f};
  const float max = MergedMax(m, later);
  return {Exp(__fsub_rn(m, max)), Exp(__fsub_rn(later, max))};
}

// For l and every o[d]. Only where w.takes_later().
__device__ __forceinline__ float Merged(const MergeWeights& w, float state,
                                        float later) {
  return w.a < 0.0f ? later : __fmaf_rn(state, w.a, __fmul_rn(later, w.b));
}

__device__ __forceinline__ float4 Merged(const MergeWeights& w,
                                         const float4& state,
                                         const float4& later) {
  return make_float4(Merged(w, state.x, later.x), Merged(w, state.y, later.y),
                     Merged(w, state.z, later.z), Merged(w, state.w, later.w));
}

}  // namespace quatrain::cuda
