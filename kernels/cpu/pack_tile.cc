#include "kernels/cpu/pack_tile.h"

#include <algorithm>
#include <cstring>

#include "base/half.h"

namespace quatrain {
namespace {

// 16 outputs' nibbles of one input. The shuffles below are single instructions
// of every machine's baseline, so nothing is chosen at run time.
using Nibbles = uint8_t __attribute__((vector_size(16)));
using Pairs = uint16_t __attribute__((vector_size(16)));

Nibbles Load(const uint8_t* q, int lanes) {
  Nibbles nibbles = {};
  if (lanes == kTileRows)
    std::memcpy(&nibbles, q, sizeof(nibbles));
  else
    std::memcpy(&nibbles, q, lanes);
  return nibbles;
}

template <bool kUpper>
Nibbles Interleave(Nibbles a, Nibbles b) {
  if constexpr (kUpper)
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28,
                                   13, 29, 14, 30, 15, 31);
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21,
                                 6, 22, 7, 23);
}

void StorePairs(Nibbles a, Nibbles b, std::byte* words) {
  const auto x = reinterpret_cast<Pairs>(a), y = reinterpret_cast<Pairs>(b);
  const Pairs halves[2] = {
      __builtin_shufflevector(x, y, 0, 8, 1, 9, 2, 10, 3, 11),
      __builtin_shufflevector(x, y, 4, 12, 5, 13, 6, 14, 7, 15)};
  std::memcpy(words, halves, sizeof(halves));
}

// Up to 8 inputs of 16 outputs to 16 words.
void PackGroup(const uint8_t* q, ptrdiff_t stride, int inputs, int lanes,
               std::byte* words) {
  Nibbles bytes[4];
  for (int j = 0; j < 4; ++j) {
    const Nibbles low = j < inputs ? Load(q + j * stride, lanes) : Nibbles{};
    const Nibbles high =
        j + 4 < inputs ? Load(q + (j + 4) * stride, lanes) : Nibbles{};
    bytes[j] = low | high << 4;
  }
  StorePairs(Interleave<false>(bytes[0], bytes[1]),
             Interleave<false>(bytes[2], bytes[3]), words);
  StorePairs(Interleave<true>(bytes[0], bytes[1]),
             Interleave<true>(bytes[2], bytes[3]), words + 32);
}

// Scales as the dtype that holds them exactly.
void StoreScales(const float* s, int count, DType dtype, std::byte* to) {
  if (dtype == DType::kF32) {
    std::memcpy(to, s, count * sizeof(float));
    return;
  }
  uint16_t bits[kTileRows];
  for (int i = 0; i < count; ++i)
    bits[i] = dtype == DType::kF16 ? F32ToF16(s[i]) : F32ToBF16(s[i]);
  std::memcpy(to, bits, count * sizeof(uint16_t));
}

template <typename T>
void Transpose(const T* rows, int count, int cols, T* tile) {
  constexpr int kTogether = 32;  // inputs: a line or two of each row
  for (int first = 0; first < cols; first += kTogether) {
    const int last = std::min(first + kTogether, cols);
    for (int i = 0; i < count; ++i)
      for (int k = first; k < last; ++k)
        tile[k * kTileRows + i] = rows[int64_t{i} * cols + k];
  }
}

}  // namespace

void PackInt4Blocks(const LogicalBlocks& from, DType scale_dtype,
                    std::byte* tile) {
  const BlockList& list = from.list;
  std::byte* header = tile + list.HeaderOffset(from.first_block, scale_dtype);
  const uint8_t* q = from.q;
  for (int b = from.first_block; b < from.last_block; ++b) {
    const BlockSpan& block = list.blocks[b];
    const int row = b - from.first_block;
    const int at = b % kBlocksPerHeader * kTileRows;
    std::memcpy(header + at, from.z + row * from.stride, from.lanes);
    StoreScales(from.s + row * from.stride, from.lanes, scale_dtype,
                header + kHeaderLanes + at * SizeOf(scale_dtype));
    std::byte* words = tile + list.WordsOffset(b, scale_dtype);
    const int length = block.end - block.begin;
    for (int k = 0; k < length; k += kGroupK, words += kVectorBytes)
      PackGroup(q + k * from.stride, from.stride, std::min(kGroupK, length - k),
                from.lanes, words);
    q += length * from.stride;
  }
}

void PackDenseTile(const std::byte* rows, int count, int cols, size_t size,
                   std::byte* tile) {
  if (size == sizeof(uint16_t))
    Transpose(reinterpret_cast<const uint16_t*>(rows), count, cols,
              reinterpret_cast<uint16_t*>(tile));
  else
    Transpose(reinterpret_cast<const uint32_t*>(rows), count, cols,
              reinterpret_cast<uint32_t*>(tile));
}

}  // namespace quatrain
