#pragma once

#include <cstdint>

#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/sample_key.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_sampling.h"

// What rows want, and how a warp reads a tile of one.
namespace quatrain::cuda {

__device__ __forceinline__ bool Draws(const QuatrainSampleRow& row) {
  return row.kind == kQuatrainDrawRow;
}
__device__ __forceinline__ bool IsFiltered(const QuatrainSampleRow& row) {
  return row.temperature > 0.0f &&
         (row.top_k > 0 || row.top_p < 1.0f || row.min_p > 0.0f);
}
__device__ __forceinline__ bool WantsLogprobs(const QuatrainSampleRow& row) {
  return row.logprobs != 0 || row.top_logprobs > 0;
}
// The log-sum-exp of all of logit / temperature: for top_p as the first filter.
__device__ __forceinline__ bool WantsLse(const QuatrainSampleRow& row) {
  return Draws(row) && row.temperature > 0.0f && row.top_k == 0 &&
         row.top_p < 1.0f;
}
__device__ __forceinline__ bool IsTransformed(const QuatrainSampleRow& row) {
  return Draws(row) && (row.num_counts > 0 || row.num_biases > 0);
}
__device__ __forceinline__ bool IsMarked(const QuatrainSampleInput& in,
                                         int row) {
  return in.marks != nullptr && in.marks[row] != 0;
}

__device__ __forceinline__ const float* RawLogits(const QuatrainSampleInput& in,
                                                  int row) {
  return in.logits + row * in.stride;
}
// What is drawn from.
__device__ __forceinline__ const float* DrawLogits(
    const QuatrainSampleInput& in, int row) {
  return (IsTransformed(in.rows[row]) ? in.transformed : in.logits) +
         row * in.stride;
}

// A lane's eight values of a tile lie as two runs of four: 4 * lane + [0, 4)
// and 128 further.
constexpr int kLaneValues = 8;
__device__ __forceinline__ int IndexInTile(int value) {
  return static_cast<int>(threadIdx.x % 32) * 4 + value / 4 * 128 + value % 4;
}

// Reads values[j] = logits[begin + IndexInTile(j)] of the calling warp's tile;
// 0 from `size` on.
__device__ __forceinline__ void LoadTile(const float* logits, int begin,
                                         int size,
                                         float (&values)[kLaneValues]) {
#pragma unroll
  for (int run = 0; run < kLaneValues; run += 4) {
    const int first = begin + IndexInTile(run);
    if (first + 3 < size) {
      const float4 four = *reinterpret_cast<const float4*>(logits + first);
      values[run] = four.x;
      values[run + 1] = four.y;
      values[run + 2] = four.z;
      values[run + 3] = four.w;
    } else {
#pragma unroll
      for (int j = run; j < run + 4; ++j)
        values[j] = first + j - run < size ? logits[first + j - run] : 0.0f;
    }
  }
}

// Sum of Exp(value(i) - max) over i in [0, size), ascending, added to `sum` in
// f64. Called by a whole warp; every lane gets the result.
template <typename Value>
__device__ __forceinline__ double AddTerms(double sum, float max, int size,
                                           Value value) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int base = 0; base < size; base += 32) {
    const int i = base + lane;
    const float term = i < size ? Exp(__fsub_rn(value(i), max)) : 0.0f;
    // A term of 0 past the end changes nothing.
#pragma unroll 8
    for (int j = 0; j < 32; ++j)
      sum = __dadd_rn(sum, static_cast<double>(__shfl_sync(~0u, term, j)));
  }
  return sum;
}

__device__ __forceinline__ float LseOf(float max, double sum) {
  return __fadd_rn(max, Log(__double2float_rn(sum)));
}

}  // namespace quatrain::cuda
