// Operations on whole rows of activations: embedding, norm, the sum over the
// tensor group, the gate where gate and up could not be fused, marks.
//
// Shapes    f32 [num_tokens, cols], see table.h.
// Launch    one block of 256 threads per row.
// Numerics  docs/numerics.md, 2 to 4: exact. A NaN that leaves is 0x7fc00000.
// Roofline  bytes: ReduceAdd 16 per element, the others 8; at few rows the
//           latency of one row.

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/gate.cuh"
#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rms_norm.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/widen.cuh"

namespace quatrain::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    EmbedKernel(const T* table, int first_id, int rows, int cols,
                const int32_t* token_ids, float* out) {
  const int row = token_ids[blockIdx.x] - first_id;
  const bool mine = row >= 0 && row < rows;
  for (int d = threadIdx.x; d < cols; d += kThreads)
    out[static_cast<size_t>(blockIdx.x) * cols + d] =
        mine ? Widen(table[static_cast<size_t>(row) * cols + d]) : 0.0f;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    EmbedTiedKernel(const unsigned char* tiles, BlockTable blocks,
                    int64_t tile_bytes, int first_id, int rows, int cols,
                    const int32_t* token_ids, float* out) {
  constexpr int kElements = kChunkBytes / static_cast<int>(sizeof(T));
  const int row = token_ids[blockIdx.x] - first_id;
  const bool mine = row >= 0 && row < rows;
  float* to = out + static_cast<size_t>(blockIdx.x) * cols;
  for (int b = 0; b < blocks.size(); ++b) {
    const KBlock block = blocks[b];
    const T* from = reinterpret_cast<const T*>(
        tiles + (mine ? row / kDenseTileRows * tile_bytes : 0) + block.offset);
    for (int k = threadIdx.x; k < block.length; k += kThreads) {
      const int chunk = k / kElements * kDenseTileRows + row % kDenseTileRows;
      to[block.begin + k] =
          mine ? Widen(from[chunk * kElements + k % kElements]) : 0.0f;
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    RmsNormKernel(const float* x, int64_t x_stride, const int32_t* rows,
                  const float* weight, float eps, int cols, float* out) {
  SIMT_SHARED(float, sums, [128]);
  const int row = rows != nullptr ? rows[blockIdx.x] : blockIdx.x;
  x += row * x_stride;
  const float scale = RmsScale(x, cols, eps, sums);
  out += static_cast<size_t>(blockIdx.x) * cols;
  for (int d = threadIdx.x; d < cols; d += kThreads)
    out[d] = Canonical(__fmul_rn(__fmul_rn(x[d], scale), weight[d]));
}

__global__ void __launch_bounds__(kThreads)
    ReduceAddKernel(const int64_t* partial, const float* bias, int cols,
                    float* residual) {
  partial += static_cast<size_t>(blockIdx.x) * (cols + 1);
  residual += static_cast<size_t>(blockIdx.x) * cols;
  const bool marked = partial[cols] != 0;
  for (int d = threadIdx.x; d < cols; d += kThreads) {
    float y = FromFixed(partial[d]);
    if (bias != nullptr) y = __fadd_rn(y, bias[d]);
    y = __fadd_rn(residual[d], y);
    residual[d] = marked ? NotANumber() : Canonical(y);
  }
}

__global__ void __launch_bounds__(kThreads)
    GateKernel(const float* gate_up, const int32_t* marks, int cols,
               float* out) {
  const float* gate = gate_up + static_cast<size_t>(blockIdx.x) * 2 * cols;
  const float* up = gate + cols;
  out += static_cast<size_t>(blockIdx.x) * cols;
  const bool marked = marks[blockIdx.x] != 0;
  for (int d = threadIdx.x; d < cols; d += kThreads)
    out[d] = marked ? NotANumber() : Gated(gate[d], up[d]);
}

__global__ void __launch_bounds__(kThreads)
    StoreMarksKernel(const int32_t* marks, int64_t* partial, int64_t stride,
                     int num_tokens) {
  const int token = blockIdx.x * kThreads + threadIdx.x;
  if (token < num_tokens)
    partial[token * stride + stride - 1] = marks[token] != 0 ? 1 : 0;
}

}  // namespace

const char* LaunchEmbed(const QuatrainEmbed& op, simt::Stream stream) {
  if (op.num_tokens == 0) return nullptr;
  const dim3 grid(op.num_tokens), block(kThreads);
  switch (op.dtype) {
    case kQuatrainF16:
      simt::launch(EmbedKernel<__half>, grid, block, 0, stream,
                   static_cast<const __half*>(op.table), op.first_id, op.rows,
                   op.cols, op.token_ids, op.out);
      return nullptr;
    case kQuatrainBF16:
      simt::launch(EmbedKernel<__nv_bfloat16>, grid, block, 0, stream,
                   static_cast<const __nv_bfloat16*>(op.table), op.first_id,
                   op.rows, op.cols, op.token_ids, op.out);
      return nullptr;
    case kQuatrainF32:
      simt::launch(EmbedKernel<float>, grid, block, 0, stream,
                   static_cast<const float*>(op.table), op.first_id, op.rows,
                   op.cols, op.token_ids, op.out);
      return nullptr;
    default:
      return "embed: the table's dtype is not f16, bf16 or f32";
  }
}

const char* LaunchEmbedTied(const QuatrainEmbedTied& op, simt::Stream stream) {
  if (op.num_tokens == 0) return nullptr;
  const QuatrainDense& table = op.table;
  const BlockTable blocks = DenseBlocks(table);
  const auto launch = [&](auto kernel) {
    simt::launch(kernel, dim3(op.num_tokens), dim3(kThreads), 0, stream,
                 static_cast<const unsigned char*>(table.tiles), blocks,
                 table.tile_bytes, op.first_id, table.rows, table.cols,
                 op.token_ids, op.out);
  };
  switch (table.dtype) {
    case kQuatrainF16:
      launch(EmbedTiedKernel<__half>);
      return nullptr;
    case kQuatrainBF16:
      launch(EmbedTiedKernel<__nv_bfloat16>);
      return nullptr;
    case kQuatrainF32:
      launch(EmbedTiedKernel<float>);
      return nullptr;
    default:
      return "embed_tied: the table's dtype is not f16, bf16 or f32";
  }
}

const char* LaunchRmsNorm(const QuatrainRmsNorm& op, simt::Stream stream) {
  if (op.num_rows == 0) return nullptr;
  simt::launch(RmsNormKernel, dim3(op.num_rows), dim3(kThreads), 0, stream,
               op.x, op.x_stride, op.rows, op.weight, op.eps, op.cols, op.out);
  return nullptr;
}

const char* LaunchReduceAdd(const QuatrainReduceAdd& op, simt::Stream stream) {
  if (op.num_tokens == 0) return nullptr;
  simt::launch(ReduceAddKernel, dim3(op.num_tokens), dim3(kThreads), 0, stream,
               op.partial, op.bias, op.cols, op.residual);
  return nullptr;
}

const char* LaunchGate(const QuatrainGate& op, simt::Stream stream) {
  if (op.num_tokens == 0) return nullptr;
  simt::launch(GateKernel, dim3(op.num_tokens), dim3(kThreads), 0, stream,
               op.gate_up, op.marks, op.cols, op.out);
  return nullptr;
}

const char* LaunchStoreMarks(const QuatrainStoreMarks& op,
                             simt::Stream stream) {
  if (op.num_tokens == 0) return nullptr;
  const int blocks = (op.num_tokens + kThreads - 1) / kThreads;
  simt::launch(StoreMarksKernel, dim3(blocks), dim3(kThreads), 0, stream,
               op.marks, op.partial, op.stride, op.num_tokens);
  return nullptr;
}

}  // namespace quatrain::cuda
