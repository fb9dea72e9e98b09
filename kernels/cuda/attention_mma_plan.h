#pragma once

#include "kernels/cuda/attention_plan.h"

// The shared memory of attention_mma.cu.
namespace quatrain::cuda {

constexpr int kMmaWarps = 4;  // of a block, at most
constexpr int kMmaStages = 2;

// A row of K or V in shared memory: an odd number of 16 bytes, so that the 8
// rows that ldmatrix reads together lie in different banks.
constexpr int MmaStride(int row_bytes) { return (row_bytes / 16 | 1) * 16; }
// K, then V, then the scales of both.
constexpr int MmaTileBytes(int row_bytes, bool is_scaled) {
  return 2 * kAttendTile *
         (MmaStride(row_bytes) +
          (is_scaled ? static_cast<int>(sizeof(float)) : 0));
}

}  // namespace quatrain::cuda
