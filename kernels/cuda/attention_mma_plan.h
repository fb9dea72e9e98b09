#pragma once

#include "kernels/cuda/attention_plan.h"

// attention_plan.h for attention on tensor cores (attention_mma.cu): pure
// functions. Work and scratch are those of PlanAttendScratch().
namespace quatrain::cuda {

constexpr int kMmaRows = 16;  // of a warp
constexpr int kMmaWarps = 4;  // of a block, at most
constexpr int kMmaStages = 2;

// K, then V, then the scales of both.
constexpr int MmaTileBytes(int row_bytes, bool is_scaled) {
  return 2 * kAttendTile *
         (KeyStride(row_bytes) +
          (is_scaled ? static_cast<int>(sizeof(float)) : 0));
}

// Whether there is a kernel for the type and width of its heads.
bool IsForMma(const QuatrainAttendShape& shape);

// Heads of one token, or up to 64 rows of a chunk, in groups of 16, one per row
// warp.
AttendRows PlanMmaRows(const QuatrainAttendShape& shape, int list);

// Of at most kMmaWarps warps, each of the `tile_warps` groups of row warps has
// tiles of its own.
AttendLaunch PlanAttendMma(const QuatrainAttendShape& shape, int list,
                           int num_sequences);

}  // namespace quatrain::cuda
