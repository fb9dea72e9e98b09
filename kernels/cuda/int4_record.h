#pragma once

#include <cstdint>

// The packed form of weights on a GPU and of the digits that meet them; pure
// functions of the list of blocks, for host and device.
//
// An int4 part is a row of tiles of 16 outputs; a tile is a row of records, one
// per block of k (at most 128 long), each contiguous:
//
//   pairs of k steps   512 bytes per 64 k: lane l's 16 bytes at 16 * l are four
//                      words. The low nibbles of word i are A register i of the
//                      first mma.m16n8k32, the high nibbles of the second.
//   a last half pair   256 bytes where at most 32 k are left: lane l's two
//                      words; low nibbles are A registers 0 and 1, high ones 2
//                      and 3 of one mma.
//   header             scale and zero of the 16 outputs, outputs g and g + 8
//                      side by side: 16 x {u16 scale, u16 zero} for f16 and
//                      bf16 scales, 16 x {f32 scale, u32 zero} for f32
//
// With 128 k and f16 scales that is 1,088 bytes, 34 sectors. k is permuted
// inside a pair so that a lane's digits are consecutive: with lane = 4 g + t,
// byte j of word i holds output g + 8 (i & 1) and k 16 t + 4 (i >> 1) + j, its
// high nibble k + 8; in a half pair byte j of word i holds output g + 8 i and k
// 8 t + j, its high nibble k + 4.
//
// Digits: a token's row has 64 bytes per pair and digit, the high digits of a
// pair before its low ones. k lies at its own place, in a half pair at
// 16 (k / 8) + k % 8; the rest is 0. So a lane reads 16 bytes for two mma.
//
// A dense part is a row of tiles of 32 outputs. Each block is padded to whole
// chunks of 16 bytes, [chunk][output][8 k] (f32: 4 k): a lane reads 16 bytes of
// one output, a warp 512 in a row. Padding is 0.

#ifdef __CUDACC__
#define QUATRAIN_HOST_DEVICE __host__ __device__
#else
#define QUATRAIN_HOST_DEVICE
#endif

namespace quatrain::cuda {

constexpr int kMaxBlock = 128;  // k of a block
constexpr int kStepK = 32;      // k of one mma
constexpr int kPairK = 64;
constexpr int kTileRows = 16;       // outputs of an int4 tile
constexpr int kDenseTileRows = 32;  // and of a dense one
constexpr int kPairBytes = 512;
constexpr int kHalfPairBytes = 256;
constexpr int kMaxPairs = kMaxBlock / kPairK;
constexpr int kChunkBytes = 16;

// One block of k. A table has one more entry at its end, with the totals.
struct KBlock {
  int32_t begin;       // first k
  int32_t length;      // 1..128; 0 in the last entry
  int32_t first_pair;  // of its digits, in a token's row
  int32_t offset;      // of its record in a tile, in bytes
};

QUATRAIN_HOST_DEVICE constexpr int NumPairs(int length) {
  return (length + kPairK - 1) / kPairK;
}

// Pairs that are whole; the rest of a block is a half pair.
QUATRAIN_HOST_DEVICE constexpr int WholePairs(int length) {
  return (length + kStepK - 1) / kPairK;
}

QUATRAIN_HOST_DEVICE constexpr int WeightBytes(int length) {
  return (length + kStepK - 1) / kStepK * kHalfPairBytes;
}

QUATRAIN_HOST_DEVICE constexpr int HeaderBytes(bool wide_scales) {
  return kTileRows * (wide_scales ? 8 : 4);
}

QUATRAIN_HOST_DEVICE constexpr int Int4RecordSize(int length,
                                                  bool wide_scales) {
  return WeightBytes(length) + HeaderBytes(wide_scales);
}

// Which k of its block lies at place `p` of the digits; -1: none, padding.
QUATRAIN_HOST_DEVICE constexpr int KOfPlace(int p, int length) {
  const int rest = p % kPairK;
  if (p / kPairK < WholePairs(length)) return p < length ? p : -1;
  const int k = p - rest + rest / 16 * 8 + rest % 16;
  return rest % 16 < 8 && k < length ? k : -1;
}

// Elements of one output in a chunk of a dense tile.
QUATRAIN_HOST_DEVICE constexpr int ChunkElements(int element_bytes) {
  return kChunkBytes / element_bytes;
}

QUATRAIN_HOST_DEVICE constexpr int NumChunks(int length, int element_bytes) {
  const int elements = ChunkElements(element_bytes);
  return (length + elements - 1) / elements;
}

QUATRAIN_HOST_DEVICE constexpr int DenseBlockSize(int length,
                                                  int element_bytes) {
  return NumChunks(length, element_bytes) * kDenseTileRows * kChunkBytes;
}

}  // namespace quatrain::cuda
