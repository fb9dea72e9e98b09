// Int4 weights as f16 or bf16 in memory, for a library's matrix product.
//
//   out[n, place(k)] = round((q - z) * s)
//
// Shapes    tiles [first_tile, last_tile) of int4_record.h; out: a row per
//           output of the tiles, 64 * num_pairs wide, k at the places of the
//           digits, 0 between.
// Launch    one warp per tile and block of k, 8 warps a block of threads.
// Numerics  q - z is exact, one rounding by the product with s: what AWQ's own
//           kernels compute. f32 scales are multiplied in f32.
// Roofline  memory bound: half a byte read and 2 written per weight; a lane
//           writes 32 consecutive bytes per output, four lanes a 128-byte line.

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/dequant_launchers.h"
#include "kernels/cuda/int4_mma.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

constexpr int kWarps = 8;

// What a type of 16 bits is to nibbles: a byte kByte above a nibble q makes the
// number kBase + q.
struct Half {
  using Pair = __half2;
  static constexpr uint32_t kByte = 0x64;
  static constexpr float kBase = 1024.0f;
  __device__ static Pair Both(float x) { return __float2half2_rn(x); }
};

struct BFloat {
  using Pair = __nv_bfloat162;
  static constexpr uint32_t kByte = 0x43;
  static constexpr float kBase = 128.0f;
  __device__ static Pair Both(float x) { return __float2bfloat162_rn(x); }
};

// (q - z) * s of the two nibbles that `selector` takes from a word's bytes.
template <typename Type>
struct PairWeights {
  typename Type::Pair minus_zero, scale;

  __device__ PairWeights(float s, int z)
      : minus_zero(Type::Both(-Type::kBase - static_cast<float>(z))),
        scale(Type::Both(s)) {}

  __device__ uint32_t operator()(uint32_t nibbles, uint32_t selector) const {
    const uint32_t bits =
        __byte_perm(nibbles, Type::kByte * 0x01010101u, selector);
    typename Type::Pair value =
        *reinterpret_cast<const typename Type::Pair*>(&bits);
    value = __hmul2(__hadd2(value, minus_zero), scale);
    return *reinterpret_cast<const uint32_t*>(&value);
  }
};

// f32 scales, which f16 may not hold.
struct FloatWeights {
  float zero, scale;

  __device__ FloatWeights(float s, int z)
      : zero(static_cast<float>(z)), scale(s) {}

  __device__ uint32_t operator()(uint32_t nibbles, uint32_t selector) const {
    const int first = static_cast<int>((selector & 0xf) * 8);
    const float low = static_cast<float>((nibbles >> first) & 0xff);
    const float high = static_cast<float>((nibbles >> (first + 8)) & 0xff);
    const __half2 value = __floats2half2_rn(__fmul_rn(low - zero, scale),
                                            __fmul_rn(high - zero, scale));
    return *reinterpret_cast<const uint32_t*>(&value);
  }
};

// Four weights from the bytes of a word.
template <typename Weights>
__device__ uint2 Four(const Weights& weights, uint32_t nibbles) {
  return {weights(nibbles, 0x4140u), weights(nibbles, 0x4342u)};
}

// 16 places of one output: k in the order low, low, high, high.
template <typename Weights>
__device__ void StoreSixteen(const Weights& weights, uint32_t first,
                             uint32_t second, uint16_t* to) {
  const uint2 a = Four(weights, first & kNibbles);
  const uint2 b = Four(weights, second & kNibbles);
  const uint2 c = Four(weights, (first >> 4) & kNibbles);
  const uint2 d = Four(weights, (second >> 4) & kNibbles);
  reinterpret_cast<uint4*>(to)[0] = {a.x, a.y, b.x, b.y};
  reinterpret_cast<uint4*>(to)[1] = {c.x, c.y, d.x, d.y};
}

// 8 places of one output and 8 zeros.
template <typename Weights>
__device__ void StoreEight(const Weights& weights, uint32_t word,
                           uint16_t* to) {
  const uint2 a = Four(weights, word & kNibbles);
  const uint2 b = Four(weights, (word >> 4) & kNibbles);
  reinterpret_cast<uint4*>(to)[0] = {a.x, a.y, b.x, b.y};
  reinterpret_cast<uint4*>(to)[1] = {0, 0, 0, 0};
}

__device__ __forceinline__ uint4 Stream16(const unsigned char* from) {
  return __ldg(reinterpret_cast<const uint4*>(from));
}
__device__ __forceinline__ uint2 Stream8(const unsigned char* from) {
  return __ldg(reinterpret_cast<const uint2*>(from));
}

// The lane's two outputs, g and g + 8, of one record.
template <typename Weights, bool kWide>
__device__ void DequantizeRecord(const unsigned char* record, int length,
                                 int dtype, uint16_t* to, int64_t row_pitch) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const unsigned char* at = record + WeightBytes(length);
  uint4 words;
  if (kWide) {
    words = Stream16(at + g * 16);
  } else {
    const uint2 narrow = Stream8(at + g * 8);
    words = {narrow.x, narrow.y, 0, 0};
  }
  const RowHeader header = ReadHeader<kWide>(words, dtype);
  const Weights low(header.scale[0], header.zero[0]);
  const Weights high(header.scale[1], header.zero[1]);
  uint16_t* rows[2] = {to + g * row_pitch + 16 * t,
                       to + (g + 8) * row_pitch + 16 * t};
  const int whole = WholePairs(length);
  for (int p = 0; p < whole; ++p) {
    const uint4 w = Stream16(record + p * kPairBytes + lane * kChunkBytes);
    StoreSixteen(low, w.x, w.z, rows[0] + p * kPairK);
    StoreSixteen(high, w.y, w.w, rows[1] + p * kPairK);
  }
  if (whole == NumPairs(length)) return;
  const uint2 w = Stream8(record + whole * kPairBytes + lane * 8);
  StoreEight(low, w.x, rows[0] + whole * kPairK);
  StoreEight(high, w.y, rows[1] + whole * kPairK);
}

template <typename Weights, bool kWide>
__global__ void __launch_bounds__(kWarps * 32)
    DequantizeKernel(const unsigned char* tiles, int64_t tile_bytes,
                     int first_tile, int dtype, int num_pairs,
                     BlockTable blocks, uint16_t* out) {
  const int b = blockIdx.x * kWarps + threadIdx.x / 32;
  if (b >= blocks.size()) return;
  const KBlock block = blocks[b];
  const int64_t pitch = static_cast<int64_t>(num_pairs) * kPairK;
  DequantizeRecord<Weights, kWide>(
      tiles + (first_tile + blockIdx.y) * tile_bytes + block.offset,
      block.length, dtype,
      out + blockIdx.y * kTileRows * pitch + block.first_pair * kPairK, pitch);
}

}  // namespace

void LaunchDequantize(const QuatrainInt4& linear, int first_tile, int last_tile,
                      void* out, simt::Stream stream) {
  const dim3 grid((linear.num_blocks + kWarps - 1) / kWarps,
                  last_tile - first_tile);
  const auto kernel = linear.scale_dtype == kQuatrainF32
                          ? DequantizeKernel<FloatWeights, true>
                      : linear.scale_dtype == kQuatrainBF16
                          ? DequantizeKernel<PairWeights<BFloat>, false>
                          : DequantizeKernel<PairWeights<Half>, false>;
  simt::launch(kernel, grid, dim3(kWarps * 32), 0, stream,
               static_cast<const unsigned char*>(linear.tiles),
               linear.tile_bytes, first_tile, linear.scale_dtype,
               linear.num_pairs, Int4Blocks(linear),
               static_cast<uint16_t*>(out));
}

}  // namespace quatrain::cuda
