// Activations as f16 or bf16, for matrix products of the default mode.
//
//   out[t, place(k)] = round(norm(x)[t, k] * 2^-e[t])
//
// Shapes    x: f32 [num_tokens, x_stride]. out: [num_tokens, 64 * num_pairs], k
//           at the places of the digits (int4_record.h), 0 between. scales:
//           f32 [num_tokens], 2^e.
// Launch    one block of 256 threads per token.
// Numerics  e brings the row's largest value to [2^14, 2^15), so that f16
//           neither overflows nor loses a small row; one rounding, on store.
// Roofline  6 bytes per activation.

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/dequant_launchers.h"
#include "kernels/cuda/rms_norm.cuh"
#include "kernels/cuda/row_exponent.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

constexpr uint32_t kAll = 0xffffffffu;
constexpr uint32_t kInfinityBits = 0x7f800000u;
constexpr int kWarps = kNormThreads / 32;

struct HalfRowsView {
  const float* x;
  int64_t x_stride;
  const int32_t* x_marks;
  const float* weight;
  float eps;
  int cols;
  int num_pairs;
  float* scales;
  int32_t* marks;
};

// The largest bits of |value| over the block.
__device__ uint32_t BlockMax(uint32_t bits, uint32_t* shared) {
  bits = __reduce_max_sync(kAll, bits);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = bits;
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) bits = max(bits, shared[w]);
  return bits;
}

template <typename T>
__device__ T Narrow(float x);
template <>
__device__ __half Narrow(float x) {
  return __float2half_rn(x);
}
template <>
__device__ __nv_bfloat16 Narrow(float x) {
  return __float2bfloat16_rn(x);
}

template <typename T>
__global__ void __launch_bounds__(kNormThreads)
    HalfRowsKernel(HalfRowsView op, BlockTable blocks, T* out) {
  SIMT_SHARED(float, sums, [128]);
  SIMT_SHARED(uint32_t, maxima, [kWarps]);
  const int token = blockIdx.x;
  const float* x = op.x + token * op.x_stride;
  const bool normed = op.weight != nullptr;
  const float scale = normed ? RmsScale(x, op.cols, op.eps, sums) : 1.0f;
  const auto value = [&](int k) {
    return normed ? __fmul_rn(__fmul_rn(x[k], scale), op.weight[k]) : x[k];
  };
  uint32_t max_bits = 0;
  for (int k = threadIdx.x; k < op.cols; k += kNormThreads)
    max_bits = max(max_bits, __float_as_uint(value(k)) & 0x7fffffffu);
  max_bits = BlockMax(max_bits, maxima);

  const bool marked = max_bits >= kInfinityBits ||
                      (op.x_marks != nullptr && op.x_marks[token] != 0);
  const int exponent = RowExponent(max_bits);
  // 2^-e: its exponent is between 0 and 253, so neither overflows.
  const float down =
      __uint_as_float(static_cast<uint32_t>(254 - exponent) << 23);
  out += static_cast<size_t>(token) * op.num_pairs * kPairK;
  const int warp = threadIdx.x / 32;
  for (int b = warp; b < blocks.size(); b += kWarps) {
    const KBlock block = blocks[b];
    T* to = out + block.first_pair * kPairK;
    for (int p = threadIdx.x % 32; p < NumPairs(block.length) * kPairK;
         p += 32) {
      const int k = KOfPlace(p, block.length);
      const bool used = k >= 0 && !marked;
      to[p] = Narrow<T>(used ? __fmul_rn(value(block.begin + k), down) : 0.0f);
    }
  }
  if (threadIdx.x != 0) return;
  op.scales[token] = __uint_as_float(static_cast<uint32_t>(exponent) << 23);
  op.marks[token] = marked ? 1 : 0;
}

}  // namespace

void LaunchHalfRows(const QuatrainDequantProduct& op, void* out, float* scales,
                    simt::Stream stream) {
  const HalfRowsView view{
      op.x,        op.x_stride,    op.x_marks,          op.norm_weight,
      op.norm_eps, op.linear.cols, op.linear.num_pairs, scales,
      op.marks};
  const BlockTable blocks = Int4Blocks(op.linear);
  const dim3 grid(op.num_tokens), block(kNormThreads);
  if (op.linear.scale_dtype == kQuatrainBF16)
    simt::launch(HalfRowsKernel<__nv_bfloat16>, grid, block, 0, stream, view,
                 blocks, static_cast<__nv_bfloat16*>(out));
  else
    simt::launch(HalfRowsKernel<__half>, grid, block, 0, stream, view, blocks,
                 static_cast<__half*>(out));
}

}  // namespace quatrain::cuda
