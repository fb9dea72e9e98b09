// Activations as f16 or bf16, for matrix products of the default mode.
//
//   out[t, place(k)] = round(norm(x)[t, k] * 2^-e[t])
//
// Shapes    x: f32 [num_tokens, x_stride]. out: [num_tokens, 64 * num_pairs], k
//           at the places of the digits (int4_record.h), 0 between. scales:
//           f32 [num_tokens], 2^e. For the product of nibbles places lie in the
//           order of int4_half_mma.cuh, and there are corrections: per block
//           and token, what the bases of the nibbles add and the sum of out.
// Launch    one block of 256 threads per token.
// Numerics  e brings the row's largest value to [2^14, 2^15), so that f16
//           neither overflows nor loses a small row; one rounding, on store.
//           Corrections are of what was stored, summed in f32.
// Roofline  6 bytes per activation.

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/dequant_launchers.h"
#include "kernels/cuda/int4_half_mma.cuh"
#include "kernels/cuda/rms_norm.cuh"
#include "kernels/cuda/row_exponent.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/widen.cuh"

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
  float2* corrections;  // [blocks][correction_pitch]
  int64_t correction_pitch;
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

// What the halves of a block of k add up to: those that meet low nibbles and
// those that meet high ones.
template <typename Nibbles>
class Correction {
 public:
  // What this lane has stored for place p of a block.
  __device__ void Add(float half, int p, int length) {
    // The places of a lane of the product: 16, in a half pair 8.
    const bool whole = p / kPairK < WholePairs(length);
    const bool is_high = p % 16 >= (whole ? 8 : 4);
    float& sum = is_high ? high_ : low_;
    sum = __fadd_rn(sum, half);
  }

  // Of the warp.
  __device__ float2 Sum() {
    for (int lanes = 16; lanes > 0; lanes /= 2) {
      low_ = __fadd_rn(low_, __shfl_xor_sync(kAll, low_, lanes));
      high_ = __fadd_rn(high_, __shfl_xor_sync(kAll, high_, lanes));
    }
    return {__fmaf_rn(Nibbles::kLowBase, low_,
                      __fmul_rn(Nibbles::kHighBase, high_)),
            __fadd_rn(low_, high_)};
  }

 private:
  float low_ = 0.0f, high_ = 0.0f;
};

// kForNibbles: for the product of nibbles, else for a library's.
template <typename Nibbles, bool kForNibbles>
__global__ void __launch_bounds__(kNormThreads)
    HalfRowsKernel(HalfRowsView op, BlockTable blocks,
                   typename Nibbles::Element* out) {
  using T = typename Nibbles::Element;
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
    Correction<Nibbles> correction;
    for (int at = threadIdx.x % 32; at < NumPairs(block.length) * kPairK;
         at += 32) {
      const int p = kForNibbles ? PlaceOfPosition(at) : at;
      const int k = KOfPlace(p, block.length);
      const bool used = k >= 0 && !marked;
      const T half =
          Narrow<T>(used ? __fmul_rn(value(block.begin + k), down) : 0.0f);
      to[at] = half;
      if (kForNibbles) correction.Add(Widen(half), p, block.length);
    }
    if (!kForNibbles) continue;
    const float2 sum = correction.Sum();
    if (threadIdx.x % 32 == 0)
      op.corrections[b * op.correction_pitch + token] = sum;
  }
  if (threadIdx.x != 0) return;
  op.scales[token] = __uint_as_float(static_cast<uint32_t>(exponent) << 23);
  op.marks[token] = marked ? 1 : 0;
}

template <bool kForNibbles>
void LaunchRows(const QuatrainDequantProduct& op, const HalfRowsView& view,
                void* out, simt::Stream stream) {
  const BlockTable blocks = Int4Blocks(op.linear);
  const dim3 grid(op.num_tokens), block(kNormThreads);
  if (op.linear.scale_dtype == kQuatrainBF16)
    simt::launch(HalfRowsKernel<BF16Nibbles, kForNibbles>, grid, block, 0,
                 stream, view, blocks, static_cast<__nv_bfloat16*>(out));
  else
    simt::launch(HalfRowsKernel<F16Nibbles, kForNibbles>, grid, block, 0,
                 stream, view, blocks, static_cast<__half*>(out));
}

HalfRowsView ViewOf(const QuatrainDequantProduct& op, float* scales) {
  return {op.x,
          op.x_stride,
          op.x_marks,
          op.norm_weight,
          op.norm_eps,
          op.linear.cols,
          op.linear.num_pairs,
          scales,
          op.marks,
          nullptr,
          0};
}

}  // namespace

void LaunchHalfRows(const QuatrainDequantProduct& op, void* out, float* scales,
                    simt::Stream stream) {
  LaunchRows<false>(op, ViewOf(op, scales), out, stream);
}

void LaunchHalfRowsForNibbles(const QuatrainDequantProduct& op, void* out,
                              float* scales, float2* corrections,
                              int64_t correction_pitch, simt::Stream stream) {
  HalfRowsView view = ViewOf(op, scales);
  view.corrections = corrections;
  view.correction_pitch = correction_pitch;
  LaunchRows<true>(op, view, out, stream);
}

}  // namespace quatrain::cuda
