#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"

namespace quatrain {

// The packed form of an int4 part. A tile is 16 outputs over all of K, and its
// bytes are consecutive, in the order in which a product reads them:
//
//   before every fourth block   zeros of 4 blocks, [4][16] u8
//                               scales of 4 blocks, [4][16], as stored: f16,
//                               bf16 or f32
//   per block                   64 bytes per 8 k: [16] words
//
// A word is one output: the low nibble of its byte j is k j, the high nibble
// k j + 4. Blocks whose length is no multiple of 8 end in nibbles of 0, whose
// activations are 0; outputs past the last have scale 0.
//
// So `word & 0x000f000f` and its shifts are pairs of 16-bit numbers for a
// 16-bit multiply-add, and bytes & 0x0f are what 8-bit products take.

inline constexpr int kTileRows = 16;
inline constexpr int kVectorBytes = 64;  // 16 lanes of 32 bits
inline constexpr int kBlocksPerHeader = 4;
inline constexpr int kHeaderLanes = kBlocksPerHeader * kTileRows;
inline constexpr int kGroupK = 8;  // k in a word
inline constexpr int kStepK = 64;  // k of a matrix tile (int4_panel.h)

// The order in which digits stand in memory, within 8: pairs as the words have
// them under the mask, shifted right by 0, 8, 4 and 12.
inline constexpr int kDigitOrder[kGroupK] = {0, 2, 1, 3, 4, 6, 5, 7};

inline int NumTiles(int rows) { return (rows + kTileRows - 1) / kTileRows; }

// Where the blocks of a linear lie: in k, and in the padded digits.
struct BlockSpan {
  int begin = 0, end = 0;  // of k
  int groups = 0;          // of 8 k
  int first_digit = 0;     // in the padded row of digits
  int first_step = 0;      // of 64 k, counted from the first block

  int steps() const { return (end - begin + kStepK - 1) / kStepK; }
};

inline int64_t HeaderBytes(DType scale_dtype) {
  return kHeaderLanes * (1 + static_cast<int64_t>(SizeOf(scale_dtype)));
}

// One tile in memory.
struct Int4Tile {
  const std::byte* bytes = nullptr;
  DType scale_dtype = DType::kF16;
};

// The blocks of one or more parts of a linear.
struct BlockList {
  explicit BlockList(std::span<const int> block_ends);

  std::vector<BlockSpan> blocks;
  int num_digits = 0;  // of a padded row
  int num_steps = 0;

  int num_blocks() const { return static_cast<int>(blocks.size()); }
  // In the bytes of a tile: where the header of block b's four is, and b.
  int64_t HeaderOffset(int b, DType scale_dtype) const;
  int64_t WordsOffset(int b, DType scale_dtype) const;
  int64_t TileBytes(DType scale_dtype) const;
};

}  // namespace quatrain
