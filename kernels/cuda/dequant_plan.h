#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/int4_record.h"

// The scratch of the product by dequantized weights: pure functions, for its
// launcher and for whoever plans a device's memory.
namespace quatrain::cuda {

// What the library may use.
constexpr int64_t kDequantWorkspaceBytes = int64_t{32} << 20;

// Tiles of 16 outputs that become f16 together, `tile_bytes` each: half of the
// second-level cache of a data-center chip, or all of it where the library's
// tiles need that to occupy every multiprocessor; whole waves, if they are more
// than one. Arithmetic, not yet measured.
inline int DequantChunkTiles(int64_t tokens, int num_tiles,
                             int64_t tile_bytes) {
  constexpr int64_t kTargetBytes = int64_t{24} << 20;
  constexpr int64_t kMostBytes = int64_t{48} << 20;
  // A wave: a tile of 128 x 256 results on each of an H200's multiprocessors.
  constexpr int64_t kWaveResults = int64_t{132} * 128 * 256;
  const int64_t wave = std::max<int64_t>(
      1, kWaveResults / (std::max<int64_t>(1, tokens) * kTileRows));
  int64_t tiles = std::max(kTargetBytes / tile_bytes,
                           std::min(wave, kMostBytes / tile_bytes));
  if (tiles > wave) tiles -= tiles % wave;
  return static_cast<int>(
      std::max<int64_t>(1, std::min<int64_t>(num_tiles, tiles)));
}

// Where everything lies, in bytes.
struct DequantScratch {
  int chunk_tiles;
  int64_t x, scales, weights, y, workspace, total;

  DequantScratch(int64_t tokens, int rows, int num_pairs) {
    const int64_t pitch = int64_t{2} * num_pairs * kPairK;
    chunk_tiles = DequantChunkTiles(tokens, (rows + kTileRows - 1) / kTileRows,
                                    std::max<int64_t>(1, pitch * kTileRows));
    const int64_t chunk_rows = int64_t{chunk_tiles} * kTileRows;
    x = 0;
    scales = x + Aligned(tokens * pitch);
    weights = scales + Aligned(tokens * 4);
    y = weights + Aligned(chunk_rows * pitch);
    workspace = y + Aligned(tokens * chunk_rows * 4);
    total = workspace + kDequantWorkspaceBytes;
  }

 private:
  static int64_t Aligned(int64_t bytes) {
    constexpr int64_t kAlignment = 256;
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
};

}  // namespace quatrain::cuda
