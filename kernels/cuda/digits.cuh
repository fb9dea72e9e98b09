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
// Blocks of k that a warp works on side by side: each is a chain of a load, two
// reductions and divisions that wait for each other.
constexpr int kBatch = 4;

// One row as the product's norm leaves it.
struct Row {
  const float* x;
  const float* weight;  // nullptr: no norm
  float scale;
  bool marked;
  bool aligned;  // x and weight lie on 16 bytes

  __device__ float Normed(float value, float of_weight) const {
    if (marked) return NotANumber();
    if (weight == nullptr) return value;
    return __fmul_rn(__fmul_rn(value, scale), of_weight);
  }
};

// A lane's places of one block, which are consecutive k; 0 where no k is.
__device__ __forceinline__ void LoadPlaces(const float* from, KBlock block,
                                           bool aligned, float (&to)[kPlaces]) {
  const int k = KOfPlace(threadIdx.x % 32 * kPlaces, block.length);
  const int count = k < 0 ? 0 : min(block.length - k, kPlaces);
  from += block.begin + k;
  if (count == kPlaces && aligned && block.begin % kPlaces == 0) {
    const float4 four = __ldg(reinterpret_cast<const float4*>(from));
    to[0] = four.x;
    to[1] = four.y;
    to[2] = four.z;
    to[3] = four.w;
    return;
  }
#pragma unroll
  for (int i = 0; i < kPlaces; ++i) to[i] = i < count ? __ldg(from + i) : 0.0f;
}

__device__ __forceinline__ int RoundToInt(float x) {
  constexpr float kMagic = 12582912.0f;  // half to even
  return static_cast<int>(__float_as_uint(__fadd_rn(x, kMagic)) -
                          __float_as_uint(kMagic));
}

// x / a to the nearest, from a's inverse: the fast way of __fdiv_rn, without
// the branches that keep divisions from running side by side. Quotients below
// 1/4 may lose their last bits.
__device__ __forceinline__ float Quotient(float x, float a, float inverse) {
  const float q = __fmul_rn(x, inverse);
  const float closer = __fmaf_rn(__fmaf_rn(-a, q, x), inverse, q);
  return __fmaf_rn(__fmaf_rn(-a, closer, x), inverse, closer);
}

// Whether Quotient() can do all divisions of a block: none of its steps
// underflows or overflows. max|x| is in [2^-84, 2^115], so a in [2^-99, 2^108].
__device__ __forceinline__ bool PlainQuotients(uint32_t max_bits) {
  return max_bits >= 0x15800000u && max_bits <= 0x79000000u;
}

// The lane's four digits of each kind, and of the block a and their sum.
struct LaneDigits {
  uint32_t high, low;
  float a;
  int sum;
};

template <int kDigits>
__device__ __forceinline__ LaneDigits SplitDigits(const int (&xi)[kPlaces],
                                                  float a) {
  LaneDigits digits = {0, 0, a, 0};
#pragma unroll
  for (int i = 0; i < kPlaces; ++i) {
    // Balanced: low is in [-128, 127].
    const int high = kDigits == 2 ? (xi[i] + 128) >> 8 : xi[i];
    digits.high |= (static_cast<uint32_t>(high) & 0xffu) << (8 * i);
    digits.low |= (static_cast<uint32_t>(xi[i] - 256 * high) & 0xffu)
                  << (8 * i);
    digits.sum += xi[i];
  }
  digits.sum = __reduce_add_sync(kAll, digits.sum);
  return digits;
}

// One block's digits. x: the lane's places; max_bits: of |x| in the whole
// block, where a NaN is the largest.
template <int kDigits, bool kPlain>
__device__ __forceinline__ LaneDigits DigitsOf(const float (&x)[kPlaces],
                                               uint32_t max_bits) {
  constexpr float kMaxDigits = kDigits == 2 ? 32639.0f : 127.0f;
  const float largest = __uint_as_float(max_bits);
  float a;
  int xi[kPlaces];
  if constexpr (kPlain) {
    a = Quotient(largest, kMaxDigits, 1.0f / kMaxDigits);
    const float inverse = __frcp_rn(a);
#pragma unroll
    for (int i = 0; i < kPlaces; ++i)
      xi[i] = RoundToInt(Quotient(x[i], a, inverse));
  } else {
    a = __fdiv_rn(largest, kMaxDigits);
    const bool zero =
        max_bits >= kInfinityBits || __float_as_uint(a) < kMinNormalBits;
    for (int i = 0; i < kPlaces; ++i)
      xi[i] = zero ? 0 : RoundToInt(__fdiv_rn(x[i], a));
  }
  return SplitDigits<kDigits>(xi, a);
}

template <int kDigits>
__device__ __forceinline__ void StoreDigits(const LaneDigits& lane_digits,
                                            KBlock block, int8_t* digits,
                                            QuatrainDigitBlock* out) {
  const int lane = threadIdx.x % 32;
  const int pair = lane * kPlaces / kPairK;
  if (pair < NumPairs(block.length)) {
    int8_t* to = digits + (block.first_pair + pair) * kDigits * kPairK +
                 lane * kPlaces % kPairK;
    *reinterpret_cast<uint32_t*>(to) = lane_digits.high;
    if (kDigits == 2)
      *reinterpret_cast<uint32_t*>(to + kPairK) = lane_digits.low;
  }
  if (lane == 0) *out = {lane_digits.a, lane_digits.sum};
}

// The places of kCount blocks, b and every kDigitWarps-th after it, as the norm
// leaves them, and the bits of each block's max|x|. What is past the last block
// repeats it.
template <int kCount>
struct Blocks {
  KBlock block[kCount];
  float x[kCount][kPlaces];
  uint32_t max_bits[kCount];

  __device__ __forceinline__ Blocks(const Row& row, const BlockTable& blocks,
                                    int b) {
    float weight[kCount][kPlaces] = {};
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      block[j] = blocks[min(b + j * kDigitWarps, blocks.size() - 1)];
      LoadPlaces(row.x, block[j], row.aligned, x[j]);
      if (row.weight != nullptr)
        LoadPlaces(row.weight, block[j], row.aligned, weight[j]);
    }
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      max_bits[j] = 0;
#pragma unroll
      for (int i = 0; i < kPlaces; ++i) {
        x[j][i] = row.Normed(x[j][i], weight[j][i]);
        max_bits[j] = max(max_bits[j], __float_as_uint(x[j][i]) & 0x7fffffffu);
      }
      max_bits[j] = __reduce_max_sync(kAll, max_bits[j]);
    }
  }
};

// Writes the digits of a warp's next kBatch blocks; returns the bits of their
// max|x|.
template <int kDigits>
__device__ __forceinline__ uint32_t MakeBlocks(const Row& row,
                                               const BlockTable& blocks, int b,
                                               int8_t* digits,
                                               QuatrainDigitBlock* out) {
  const Blocks<kBatch> batch(row, blocks, b);
  uint32_t max_bits = 0;
  bool plain = true;
#pragma unroll
  for (int j = 0; j < kBatch; ++j) {
    max_bits = max(max_bits, batch.max_bits[j]);
    plain = plain && PlainQuotients(batch.max_bits[j]);
  }
  if (plain) {
    LaneDigits made[kBatch];
#pragma unroll
    for (int j = 0; j < kBatch; ++j)
      made[j] = DigitsOf<kDigits, true>(batch.x[j], batch.max_bits[j]);
#pragma unroll
    for (int j = 0; j < kBatch; ++j)
      if (b + j * kDigitWarps < blocks.size())
        StoreDigits<kDigits>(made[j], batch.block[j], digits,
                             out + b + j * kDigitWarps);
    return max_bits;
  }
  // Zeros, extremes, what is not finite: one by one, and loaded again.
#pragma unroll 1
  for (int at = b; at < min(b + kBatch * kDigitWarps, blocks.size());
       at += kDigitWarps) {
    const Blocks<1> one(row, blocks, at);
    StoreDigits<kDigits>(DigitsOf<kDigits, false>(one.x[0], one.max_bits[0]),
                         one.block[0], digits, out + at);
  }
  return max_bits;
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
            x_marks != nullptr && x_marks[token] != 0, false};
    row.aligned = (reinterpret_cast<uintptr_t>(row.x) |
                   reinterpret_cast<uintptr_t>(weight)) %
                      16 ==
                  0;
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
  for (int b = warp; b < blocks.size(); b += kBatch * kDigitWarps)
    max_bits = max(max_bits, MakeBlocks<kDigits>(row, blocks, b, digits, out));
  if (threadIdx.x % 32 == 0) row_max[warp] = max_bits;
  __syncthreads();
  for (int w = 0; w < kDigitWarps; ++w) max_bits = max(max_bits, row_max[w]);
  return StateOf(max_bits, source.max_scale,
                 FitsLimbs(source.cols, blocks.size()));
}

}  // namespace quatrain::cuda
