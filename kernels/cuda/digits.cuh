#pragma once

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/rms_norm.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table.h"

// One row of activations as digits, by a block of 256 threads: for the kernel
// that stores them, and for the products that make their own.
namespace quatrain::cuda {

constexpr int kDigitWarps = kNormThreads / 32;
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

__device__ __forceinline__ BlockValues LoadBlock(const Row& row, KBlock block) {
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

__device__ __forceinline__ int RoundedQuotient(float x, float a) {
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
__device__ __forceinline__ LaneDigits SplitDigits(const BlockValues& values,
                                                  float a, bool zero) {
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
__device__ __forceinline__ uint32_t MakeBlock(const Row& row, KBlock block,
                                              int8_t* digits,
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
__device__ __forceinline__ bool FitsLimbs(int cols, int num_blocks) {
  return cols <= 65536 && num_blocks <= 1000;
}

__device__ __forceinline__ int StateOf(uint32_t max_bits, float max_scale,
                                       bool fits_limbs) {
  if (max_bits >= kInfinityBits) return kQuatrainRowNotFinite;
  const float product = __fmul_rn(__uint_as_float(max_bits), max_scale);
  return product <= kSmallProduct && fits_limbs &&
                 // Else D * a may overflow before the scale makes it small.
                 max_bits < 0x79800000u  // 2^116
             ? kQuatrainRowSmall
             : kQuatrainRowChecked;
}

// Where a row comes from.
struct RowSource {
  const float* x;
  int64_t x_stride;
  const int32_t* x_marks;  // or nullptr
  const float* weight;     // of the norm, or nullptr
  float eps;
  int cols;
  float max_scale;  // of the linear

  // The row of `token`, normed. `sums`: 128 floats of shared memory, free again
  // after the next barrier.
  __device__ __forceinline__ Row Open(int token, float* sums) const {
    Row row{x + token * x_stride, weight, 1.0f,
            x_marks != nullptr && x_marks[token] != 0};
    if (weight != nullptr) row.scale = RmsScale(row.x, cols, eps, sums);
    return row;
  }
};

// Writes a row's digits and blocks; every thread gets its QuatrainRowState.
// row_max: kDigitWarps words of shared memory, free again after the next
// barrier.
template <int kDigits>
__device__ __forceinline__ int MakeRow(const RowSource& source, const Row& row,
                                       const BlockTable& blocks, int8_t* digits,
                                       QuatrainDigitBlock* out,
                                       uint32_t* row_max) {
  const int warp = threadIdx.x / 32;
  uint32_t max_bits = 0;
  for (int b = warp; b < blocks.size(); b += kDigitWarps)
    max_bits =
        max(max_bits, MakeBlock<kDigits>(row, blocks[b], digits, out + b));
  if (threadIdx.x % 32 == 0) row_max[warp] = max_bits;
  __syncthreads();
  for (int w = 0; w < kDigitWarps; ++w) max_bits = max(max_bits, row_max[w]);
  return StateOf(max_bits, source.max_scale,
                 FitsLimbs(source.cols, blocks.size()));
}

}  // namespace quatrain::cuda
