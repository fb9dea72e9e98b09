#pragma once

#include <cstdint>

#include "kernels/cuda/int4_record.h"

// How the product for many tokens is cut over blocks of threads; pure
// functions.
namespace quatrain::cuda {

namespace medium {

constexpr int kWarpRows = 4;  // warps along the outputs
constexpr int kWarpCols = 2;  // and along the tokens
constexpr int kThreads = kWarpRows * kWarpCols * 32;
constexpr int kTiles = 4;  // tiles of 8 columns per warp

// Of a block of threads.
constexpr int BlockTokens(int num_digits) {
  return kWarpCols * kTiles * 8 / num_digits;
}

}  // namespace medium

struct MediumShape {
  int num_tokens;
  int num_tiles;   // of 16 outputs
  int num_blocks;  // of k
  int num_digits;
};

struct MediumPlan {
  int row_tiles;     // of 16 outputs per warp: 1 or 2
  int num_splits;    // blocks of threads that share the k of some outputs
  int split_blocks;  // blocks of k of each, but for the last, which may have
                     // less
};

// can_split: there is scratch.
MediumPlan PlanMedium(const MediumShape& shape, int num_sms, bool can_split);

// Blocks of threads of one launch that split: two fit a multiprocessor.
constexpr int MostMediumParts(int num_sms) { return 2 * num_sms; }

// The scratch of splits, in bytes: a ticket for each place where some meet,
// then the sums of each of them.
struct MediumScratch {
  int64_t parts_at;
  int64_t total;

  MediumScratch(int num_sms, int num_digits) {
    constexpr int64_t kAlignment = 256;
    const int64_t parts = MostMediumParts(num_sms);
    const int64_t tickets = parts * int64_t{sizeof(unsigned)};
    const int64_t sums = int64_t{medium::kWarpRows} * kTileRows *
                         medium::BlockTokens(num_digits);
    parts_at = (tickets + kAlignment - 1) / kAlignment * kAlignment;
    total = parts_at + parts * sums * int64_t{sizeof(int64_t)};
  }
};

}  // namespace quatrain::cuda
