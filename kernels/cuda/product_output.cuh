#pragma once

#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/gate.cuh"
#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table.h"

// What becomes of the sums of a product (docs/numerics.md, 2: after the sum).
namespace quatrain::cuda {

struct ProductOutput {
  int kind;  // QuatrainOutput
  int rows;  // of the linear
  const float* bias;
  void* out;
  int64_t stride;

  // y of one output.
  __device__ float Finish(int64_t sum, int output) const {
    const float y = FromFixed(sum);
    return bias != nullptr ? __fadd_rn(y, bias[output]) : y;
  }

  // Output `output` of `token`; not for gated outputs.
  __device__ void Store(int64_t sum, int token, int output) const {
    if (output >= rows) return;
    const int64_t at = token * stride + output;
    if (kind == kQuatrainPartial)
      static_cast<int64_t*>(out)[at] = sum;
    else
      static_cast<float*>(out)[at] = Finish(sum, output);
  }

  // Channel r of tile `tile`: its gate is the tile's output r, its up r + 8.
  __device__ void StoreGated(int64_t gate, int64_t up, int token, int tile,
                             int r) const {
    const int channel = tile * (kTileRows / 2) + r;
    if (2 * channel >= rows) return;
    const int output = tile * kTileRows + r;
    static_cast<float*>(out)[token * stride + channel] =
        Gated(Finish(gate, output), Finish(up, output + kTileRows / 2));
  }
};

inline ProductOutput OutputOf(const QuatrainProduct& op) {
  return {op.output, op.linear.rows, op.bias, op.out, op.out_stride};
}

// The same of the default mode's products, whose sums are f32.
struct FloatOutput {
  int kind;  // QuatrainOutput
  int rows;  // of the linear
  const float* bias;
  void* out;
  int64_t stride;
  int32_t* marks;

  __device__ float Finish(float sum, int output) const {
    return bias != nullptr ? __fadd_rn(sum, bias[output]) : sum;
  }

  __device__ void Store(float sum, int token, int output) const {
    if (output >= rows) return;
    const float y = Finish(sum, output);
    const int64_t at = token * stride + output;
    if (kind == kQuatrainStore) {
      static_cast<float*>(out)[at] = y;
      return;
    }
    // The same partial sums as the exact product's, so that all ranks may add.
    if (!(fabsf(y) < kMaxContribution)) atomicOr(&marks[token], 1);
    static_cast<int64_t*>(out)[at] = ToFixed(y);
  }

  __device__ void StoreGated(float gate, float up, int token, int tile,
                             int r) const {
    const int channel = tile * (kTileRows / 2) + r;
    if (2 * channel >= rows) return;
    const int output = tile * kTileRows + r;
    static_cast<float*>(out)[token * stride + channel] =
        Gated(Finish(gate, output), Finish(up, output + kTileRows / 2));
  }
};

inline FloatOutput OutputOf(const QuatrainDequantProduct& op) {
  return {op.output, op.linear.rows, op.bias, op.out, op.out_stride, op.marks};
}

}  // namespace quatrain::cuda
