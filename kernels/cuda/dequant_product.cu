// Int4 linear for long prompts in the default mode: a chunk of the weights
// becomes f16 in a scratch that stays in the second-level cache, a library
// multiplies it, and so on.
//
//   out[t, n] = f(2^e[t] * sum over k of w[n, k] * x[t, k])
//
// Shapes    as the exact product's, with x in f32 and a scratch.
// Launch    the epilogue: one block of 256 threads per token and 256 outputs.
// Numerics  f16 (bf16 where the scales are) operands, sums in f32 in the
//           library's order: not the bits of docs/numerics.md.
// Roofline  compute bound in the library; dequantizing adds 2.5 bytes of
//           traffic per weight, most of it in cache, so some 5 % at 4,096
//           tokens.

#include <algorithm>

#include "kernels/cuda/dequant_launchers.h"
#include "kernels/cuda/dequant_plan.h"
#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/product_output.cuh"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

constexpr int kThreads = 256;

struct FinishView {
  const float* y;
  int pitch;  // of y: outputs of the chunk
  const float* scales;
  int first_tile;

  __device__ float Sum(int token, int i) const {
    return __fmul_rn(y[static_cast<size_t>(token) * pitch + i], scales[token]);
  }
};

__global__ void __launch_bounds__(kThreads)
    FinishKernel(FinishView op, FloatOutput out) {
  const int token = blockIdx.x;
  const int i = blockIdx.y * kThreads + threadIdx.x;
  if (i >= op.pitch) return;
  if (out.kind != kQuatrainGated) {
    out.Store(op.Sum(token, i), token, op.first_tile * kTileRows + i);
    return;
  }
  if (i % kTileRows >= kTileRows / 2) return;
  out.StoreGated(op.Sum(token, i), op.Sum(token, i + kTileRows / 2), token,
                 op.first_tile + i / kTileRows, i % kTileRows);
}

}  // namespace

void LaunchFinishProduct(const QuatrainDequantProduct& op, int first_tile,
                         int last_tile, const float* y, const float* scales,
                         simt::Stream stream) {
  const int pitch = (last_tile - first_tile) * kTileRows;
  simt::launch(FinishKernel,
               dim3(op.num_tokens, (pitch + kThreads - 1) / kThreads),
               dim3(kThreads), 0, stream,
               FinishView{y, pitch, scales, first_tile}, OutputOf(op));
}

int LaunchDequantProduct(const QuatrainDequantProduct& op,
                         QuatrainStream stream) {
  const QuatrainInt4& linear = op.linear;
  if (op.num_tokens == 0 || linear.rows == 0) return kQuatrainOk;
  if (linear.num_blocks == 0)
    return runtime::Fail(kQuatrainBadArgument,
                         "dequant product: the linear has no K");
  const DequantScratch at(op.num_tokens, linear.rows, linear.num_pairs);
  if (op.scratch_bytes < at.total)
    return runtime::Fail(kQuatrainBadArgument,
                         "dequant product: the scratch has " +
                             std::to_string(op.scratch_bytes) + " bytes of " +
                             std::to_string(at.total));
  unsigned char* scratch = static_cast<unsigned char*>(op.scratch);
  float* scales = reinterpret_cast<float*>(scratch + at.scales);
  float* y = reinterpret_cast<float*>(scratch + at.y);
  const simt::Stream on = runtime::ToStream(stream);
  LaunchHalfRows(op, scratch + at.x, scales, on);
  const int num_tiles = (linear.rows + kTileRows - 1) / kTileRows;
  for (int tile = 0; tile < num_tiles; tile += at.chunk_tiles) {
    const int end = std::min(num_tiles, tile + at.chunk_tiles);
    LaunchDequantize(linear, tile, end, scratch + at.weights, on);
    const runtime::HalfGemm gemm{linear.scale_dtype == kQuatrainBF16,
                                 (end - tile) * kTileRows,
                                 op.num_tokens,
                                 linear.num_pairs * kPairK,
                                 scratch + at.weights,
                                 scratch + at.x,
                                 y,
                                 scratch + at.workspace,
                                 static_cast<size_t>(kDequantWorkspaceBytes)};
    const int error = runtime::MultiplyHalf(gemm, stream);
    if (error != kQuatrainOk) return error;
    LaunchFinishProduct(op, tile, end, y, scales, on);
  }
  return kQuatrainOk;
}

}  // namespace quatrain::cuda
