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
#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/gate.cuh"
#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

constexpr int kThreads = 256;
// Of dequantized weights: half of the second-level cache of a data-center chip,
// or all of it where the library's tiles need that to occupy every
// multiprocessor.
constexpr int64_t kChunkTargetBytes = int64_t{24} << 20;
constexpr int64_t kChunkMostBytes = int64_t{48} << 20;
// A wave: a tile of 128 x 256 results on each of an H200's multiprocessors.
constexpr int64_t kWaveResults = int64_t{132} * 128 * 256;
constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;
constexpr int64_t kAlignment = 256;

int64_t Aligned(int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Tiles of 16 outputs that become f16 together: whole waves, if they are more
// than one. Arithmetic, not yet measured.
int ChunkTiles(int64_t tokens, int num_tiles, int64_t tile_bytes) {
  const int64_t wave = std::max<int64_t>(
      1, kWaveResults / (std::max<int64_t>(1, tokens) * kTileRows));
  const int64_t target = kChunkTargetBytes / tile_bytes;
  int64_t tiles =
      std::max(target, std::min(wave, kChunkMostBytes / tile_bytes));
  if (tiles > wave) tiles -= tiles % wave;
  return static_cast<int>(
      std::max<int64_t>(1, std::min<int64_t>(num_tiles, tiles)));
}

// Where everything lies in the scratch.
struct Scratch {
  int chunk_tiles;
  int64_t x, scales, weights, y, workspace, total;

  Scratch(int64_t tokens, int rows, int num_pairs) {
    const int64_t pitch = int64_t{2} * num_pairs * kPairK;
    chunk_tiles = ChunkTiles(tokens, (rows + kTileRows - 1) / kTileRows,
                             std::max<int64_t>(1, pitch * kTileRows));
    const int64_t chunk_rows = int64_t{chunk_tiles} * kTileRows;
    x = 0;
    scales = x + Aligned(tokens * pitch);
    weights = scales + Aligned(tokens * 4);
    y = weights + Aligned(chunk_rows * pitch);
    workspace = y + Aligned(tokens * chunk_rows * 4);
    total = workspace + kWorkspaceBytes;
  }
};

struct FinishView {
  int kind;  // QuatrainOutput
  int rows;
  const float* bias;
  const float* y;
  int pitch;  // of y: outputs of the chunk
  const float* scales;
  int first_row;
  void* out;
  int64_t stride;
  int32_t* marks;

  __device__ float Value(int token, int i) const {
    const float value =
        __fmul_rn(y[static_cast<size_t>(token) * pitch + i], scales[token]);
    return bias != nullptr ? __fadd_rn(value, bias[first_row + i]) : value;
  }
};

__global__ void __launch_bounds__(kThreads) FinishKernel(FinishView op) {
  const int token = blockIdx.y;
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= op.pitch) return;
  const int output = op.first_row + i;
  if (op.kind == kQuatrainGated) {
    const int channel = output / kTileRows * (kTileRows / 2) + i % kTileRows;
    if (i % kTileRows >= kTileRows / 2 || 2 * channel >= op.rows) return;
    static_cast<float*>(op.out)[token * op.stride + channel] =
        Gated(op.Value(token, i), op.Value(token, i + kTileRows / 2));
    return;
  }
  if (output >= op.rows) return;
  const float value = op.Value(token, i);
  if (op.kind == kQuatrainStore) {
    static_cast<float*>(op.out)[token * op.stride + output] = value;
    return;
  }
  // The same partial sums as the exact product's, so that all ranks may add.
  if (!(fabsf(value) < kMaxContribution)) atomicOr(&op.marks[token], 1);
  static_cast<int64_t*>(op.out)[token * op.stride + output] = ToFixed(value);
}

}  // namespace

void LaunchFinishProduct(const QuatrainDequantProduct& op, int first_tile,
                         int last_tile, const float* y, const float* scales,
                         simt::Stream stream) {
  const int pitch = (last_tile - first_tile) * kTileRows;
  const FinishView view{op.output,
                        op.linear.rows,
                        op.bias,
                        y,
                        pitch,
                        scales,
                        first_tile * kTileRows,
                        op.out,
                        op.out_stride,
                        op.marks};
  simt::launch(FinishKernel,
               dim3((pitch + kThreads - 1) / kThreads, op.num_tokens),
               dim3(kThreads), 0, stream, view);
}

int64_t DequantScratchBytes(int tokens, int rows, int num_pairs) {
  return Scratch(tokens, rows, num_pairs).total;
}

int LaunchDequantProduct(const QuatrainDequantProduct& op,
                         QuatrainStream stream) {
  const QuatrainInt4& linear = op.linear;
  if (op.num_tokens == 0 || linear.rows == 0) return kQuatrainOk;
  if (linear.num_blocks == 0)
    return runtime::Fail(kQuatrainBadArgument,
                         "dequant product: the linear has no K");
  const Scratch at(op.num_tokens, linear.rows, linear.num_pairs);
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
                                 static_cast<size_t>(kWorkspaceBytes)};
    const int error = runtime::MultiplyHalf(gemm, stream);
    if (error != kQuatrainOk) return error;
    LaunchFinishProduct(op, tile, end, y, scales, on);
  }
  return kQuatrainOk;
}

}  // namespace quatrain::cuda
