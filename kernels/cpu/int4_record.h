#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace quatrain {

// The packed form of an int4 part. A tile is 16 outputs over all of K, and its
// bytes are consecutive, in the order in which a product reads them:
//
//   before every fourth block   64 bytes   zeros of 4 blocks, [4][16] u8
//   per block                   64 bytes   scales, [16] f32
//                               64 bytes per 8 k: [16] words
//
// A word is one output: the low nibble of its byte j is k j, the high nibble
// k j + 4. Blocks whose length is no multiple of 8 end in nibbles of 0, whose
// activations are 0; outputs past the last have scale 0.
//
// So `word & 0x000f000f` and its shifts are pairs of 16-bit numbers for a
// 16-bit multiply-add, and bytes & 0x0f are what 8-bit products take.

inline constexpr int kTileRows = 16;
inline constexpr int kVectorBytes = 64;  // 16 lanes of 32 bits
inline constexpr int kBlocksPerZeros = 4;
inline constexpr int kGroupK = 8;  // k in a word

// The order in which digits stand in memory, within 8: pairs as the words have
// them under the mask, shifted right by 0, 8, 4 and 12.
inline constexpr int kDigitOrder[kGroupK] = {0, 2, 1, 3, 4, 6, 5, 7};

inline int NumTiles(int rows) { return (rows + kTileRows - 1) / kTileRows; }

// Where the blocks of a linear lie: in k, and in the padded digits.
struct BlockSpan {
  int begin = 0, end = 0;  // of k
  int groups = 0;          // of 8 k
  int first_digit = 0;     // in the padded row of digits
};

// The blocks of one or more parts of a linear.
struct BlockList {
  explicit BlockList(std::span<const int> block_ends);

  std::vector<BlockSpan> blocks;
  int num_digits = 0;  // of a padded row

  int num_blocks() const { return static_cast<int>(blocks.size()); }
  int64_t TileBytes() const;
};

}  // namespace quatrain
