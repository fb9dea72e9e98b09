#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/int4_record.h"

// How the product with half activations is cut over blocks of threads, and its
// scratch; pure functions.
namespace quatrain::cuda {

namespace half_tile {

constexpr int kWarpRows = 4;  // warps along the outputs
constexpr int kWarpCols = 2;  // and along the tokens
constexpr int kThreads = kWarpRows * kWarpCols * 32;

// Of a block of threads.
constexpr int BlockTiles(int row_tiles) { return kWarpRows * row_tiles; }
constexpr int BlockTokens(int col_tiles) { return kWarpCols * col_tiles * 8; }

}  // namespace half_tile

struct HalfPlan {
  int row_tiles;  // of 16 outputs, of a warp: 1 or 2
  int col_tiles;  // of 8 tokens: 2 or 4
};

// Smaller tiles where large ones would leave some of the chip idle.
inline HalfPlan PlanHalf(int num_tokens, int num_tiles, int num_sms) {
  using namespace half_tile;
  const auto places = [&](HalfPlan plan) {
    const int cols = BlockTokens(plan.col_tiles);
    const int tiles = BlockTiles(plan.row_tiles);
    return ((num_tokens + cols - 1) / cols) * ((num_tiles + tiles - 1) / tiles);
  };
  const HalfPlan widest{2, num_tokens > BlockTokens(2) ? 4 : 2};
  for (const HalfPlan plan : {widest, HalfPlan{2, 2}})
    if (places(plan) >= num_sms) return plan;
  return {1, 2};
}

// Where everything lies, in bytes.
struct HalfScratch {
  int64_t pitch;  // of corrections of one block of k: tokens
  int64_t x, corrections, scales, total;

  HalfScratch(int64_t tokens, int64_t num_pairs, int64_t num_blocks) {
    pitch = Aligned(tokens, 2);  // two are copied at a time
    x = 0;
    corrections = x + Aligned(tokens * 2 * num_pairs * kPairK, 256);
    scales = corrections + Aligned(num_blocks * pitch * 8, 256);
    total = scales + Aligned(tokens * 4, 256);
  }

 private:
  static int64_t Aligned(int64_t value, int64_t to) {
    return (value + to - 1) / to * to;
  }
};

}  // namespace quatrain::cuda
