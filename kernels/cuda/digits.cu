// Activations as integers of two digits (or one) per block of k.
//
//   a = max|x| / 32639, xi = round_half_even(x / a) = 256 * high + low
//
// Shapes    x: [num_tokens, x_stride] f32. out: int4_record.h, with a and the
//           sum of xi per block, and per token whether its contributions can be
//           large and whether it is marked.
// Launch    one block of 256 threads per token; a warp takes every eighth block
//           of k, a lane four places of the digits.
// Numerics  docs/numerics.md, 2 and 4: exact. A norm before is fused: x is
//           read twice, the second time from cache.
// Roofline  6 bytes per activation at least: negligible next to the weights up
//           to a few rows, then bound by the latency of one row.

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rms_norm.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

constexpr int kWarps = kNormThreads / 32;
constexpr uint32_t kAll = 0xffffffffu;
constexpr uint32_t kInfinityBits = 0x7f800000u;
constexpr uint32_t kMinNormalBits = 0x00800000u;
constexpr int kPlaces = 4;  // of a lane, in a block

// One row as the product's norm leaves it.
struct Row {
  const float* x;
  const float* weight;  // nullptr: no norm
  float scale;
  bool marked;

  __device__ float operator[](int k) const {
    if (marked) return NotANumber();
    if (weight == nullptr) return x[k];
    return __fmul_rn(__fmul_rn(x[k], scale), weight[k]);
  }
};

struct BlockValues {
  float x[kPlaces];
  uint32_t max_bits;  // of |x|, in the whole block; a NaN is the largest
};

__device__ BlockValues LoadBlock(const Row& row, KBlock block) {
  const int lane = threadIdx.x % 32;
  BlockValues values;
  uint32_t max_bits = 0;
  for (int i = 0; i < kPlaces; ++i) {
    const int k = KOfPlace(kPlaces * lane + i, block.length);
    values.x[i] = k >= 0 ? row[block.begin + k] : 0.0f;
    max_bits = max(max_bits, __float_as_uint(values.x[i]) & 0x7fffffffu);
  }
  values.max_bits = __reduce_max_sync(kAll, max_bits);
  return values;
}

__device__ int RoundedQuotient(float x, float a) {
  constexpr float kMagic = 12582912.0f;  // rounds to an integer, half to even
  return static_cast<int>(__float_as_uint(__fadd_rn(__fdiv_rn(x, a), kMagic)) -
                          __float_as_uint(kMagic));
}

// The lane's four digits of each kind, and their sum over the block.
struct LaneDigits {
  uint32_t high, low;
  int sum;
};

template <int kDigits>
__device__ LaneDigits SplitDigits(const BlockValues& values, float a,
                                  bool zero) {
  LaneDigits digits = {0, 0, 0};
  for (int i = 0; i < kPlaces; ++i) {
    const int xi = zero ? 0 : RoundedQuotient(values.x[i], a);
    // Balanced: low is in [-128, 127].
    const int high = kDigits == 2 ? (xi + 128) >> 8 : xi;
    digits.high |= (static_cast<uint32_t>(high) & 0xffu) << (8 * i);
    digits.low |= (static_cast<uint32_t>(xi - 256 * high) & 0xffu) << (8 * i);
    digits.sum += xi;
  }
  digits.sum = __reduce_add_sync(kAll, digits.sum);
  return digits;
}

// Writes one block's digits; returns the bits of its max|x|.
template <int kDigits>
__device__ uint32_t MakeBlock(const Row& row, KBlock block, int8_t* digits,
                              QuatrainDigitBlock* out) {
  constexpr float kMaxDigits = kDigits == 2 ? 32639.0f : 127.0f;
  const BlockValues values = LoadBlock(row, block);
  const float a = __fdiv_rn(__uint_as_float(values.max_bits), kMaxDigits);
  const bool zero =
      values.max_bits >= kInfinityBits || __float_as_uint(a) < kMinNormalBits;
  const LaneDigits lane_digits = SplitDigits<kDigits>(values, a, zero);
  const int lane = threadIdx.x % 32;
  const int pair = lane * kPlaces / kPairK;
  if (pair < NumPairs(block.length)) {
    int8_t* to = digits + (block.first_pair + pair) * kDigits * kPairK +
                 lane * kPlaces % kPairK;
    *reinterpret_cast<uint32_t*>(to) = lane_digits.high;
    if (kDigits == 2)
      *reinterpret_cast<uint32_t*>(to + kPairK) = lane_digits.low;
  }
  if (lane == 0) *out = {a, lane_digits.sum};
  return values.max_bits;
}

// Sums of small contributions stay within 32 bits for this many.
__device__ bool FitsLimbs(int cols, int num_blocks) {
  return cols <= 65536 && num_blocks <= 1000;
}

__device__ int StateOf(uint32_t max_bits, float max_scale, bool fits_limbs) {
  if (max_bits >= kInfinityBits) return kQuatrainRowNotFinite;
  const float product = __fmul_rn(__uint_as_float(max_bits), max_scale);
  return product <= kSmallProduct && fits_limbs &&
                 // Else D * a may overflow before the scale makes it small.
                 max_bits < 0x79800000u  // 2^116
             ? kQuatrainRowSmall
             : kQuatrainRowChecked;
}

struct DigitsArguments {
  const float* x;
  int64_t x_stride;
  const int32_t* x_marks;
  const float* weight;
  float eps;
  int cols;
  int num_pairs;
  float max_scale;
  int8_t* digits;
  QuatrainDigitBlock* digit_blocks;
  int32_t* states;
  int32_t* marks;
};

template <int kDigits>
__global__ void __launch_bounds__(kNormThreads)
    DigitsKernel(DigitsArguments op, BlockTable blocks) {
  SIMT_SHARED(float, sums, [128]);
  SIMT_SHARED(uint32_t, row_max, [kWarps]);
  const int token = blockIdx.x;
  const int warp = threadIdx.x / 32;
  Row row{op.x + token * op.x_stride, op.weight, 1.0f,
          op.x_marks != nullptr && op.x_marks[token] != 0};
  if (op.weight != nullptr) row.scale = RmsScale(row.x, op.cols, op.eps, sums);

  int8_t* digits =
      op.digits + static_cast<size_t>(token) * op.num_pairs * kDigits * kPairK;
  QuatrainDigitBlock* out =
      op.digit_blocks + static_cast<size_t>(token) * blocks.size();
  uint32_t max_bits = 0;
  for (int b = warp; b < blocks.size(); b += kWarps)
    max_bits =
        max(max_bits, MakeBlock<kDigits>(row, blocks[b], digits, out + b));
  if (threadIdx.x % 32 == 0) row_max[warp] = max_bits;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kWarps; ++w) max_bits = max(max_bits, row_max[w]);
  const int state =
      StateOf(max_bits, op.max_scale, FitsLimbs(op.cols, blocks.size()));
  op.states[token] = state;
  if (op.marks != nullptr)
    op.marks[token] = state == kQuatrainRowNotFinite ? 1 : 0;
}

}  // namespace

const char* LaunchDigits(const QuatrainMakeDigits& op, simt::Stream stream) {
  const QuatrainInt4& linear = op.linear;
  if (op.out.num_digits != 1 && op.out.num_digits != 2)
    return "digits: num_digits is neither 1 nor 2";
  if (op.num_tokens == 0) return nullptr;
  const BlockTable blocks = Int4Blocks(linear);
  const DigitsArguments arguments{
      op.x,          op.x_stride,   op.x_marks,       op.norm_weight,
      op.norm_eps,   linear.cols,   linear.num_pairs, linear.max_scale,
      op.out.digits, op.out.blocks, op.out.states,    op.marks};
  simt::launch(op.out.num_digits == 2 ? DigitsKernel<2> : DigitsKernel<1>,
               dim3(op.num_tokens), dim3(kNormThreads), 0, stream, arguments,
               blocks);
  return nullptr;
}

}  // namespace quatrain::cuda
