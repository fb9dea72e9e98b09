#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/int4_record.h"

namespace quatrain {

// Blocks [first_block, last_block) of one tile in logical form, inputs
// outermost: q [inputs of the blocks][stride], z and s [blocks][stride]. The
// first `lanes` <= 16 of stride are the tile's outputs; the others of its 16 do
// not exist. first_block: a multiple of kBlocksPerHeader.
struct LogicalBlocks {
  const BlockList& list;
  int first_block = 0;
  int last_block = 0;
  int lanes = kTileRows;
  ptrdiff_t stride = 0;
  const uint8_t* q = nullptr;
  const uint8_t* z = nullptr;
  const float* s = nullptr;
};

// Writes them where they belong in a tile of int4_record.h, which was all 0.
void PackInt4Blocks(const LogicalBlocks& from, DType scale_dtype,
                    std::byte* tile);

// `count` <= 16 rows of `cols` elements of `size` (2 or 4) bytes to [cols][16],
// which was all 0.
void PackDenseTile(const std::byte* rows, int count, int cols, size_t size,
                   std::byte* tile);

}  // namespace quatrain
