#include "kernels/cuda/attention_mma_plan.h"

#include <algorithm>

namespace quatrain::cuda {
namespace {

int CountOf(const QuatrainAttendShape& shape) {
  return std::max(shape.max_count, 1);
}

// States take the place of the tiles from the buffer's beginning. `values` has
// the key that a launch stores: K, V, scales.
AttendShared Layout(const QuatrainAttendShape& shape, const AttendRows& rows,
                    int tile_warps) {
  const int head_dim = shape.head_dim;
  const int row_bytes = head_dim * CacheElementBytes(shape.kv_dtype);
  AttendShared layout{};
  const size_t total = rows.total;
  const size_t padded = size_t{kMmaRows} * rows.row_warps;
  SharedBuilder states(0);
  layout.total = states.Add(total * (head_dim + 2) * sizeof(float));
  if (tile_warps > 1) {
    layout.partials = states.Add(tile_warps * total * head_dim * sizeof(float));
    layout.sums = states.Add(tile_warps * total * 2 * sizeof(float));
    layout.weights = states.Add(tile_warps * total * 2 * sizeof(float));
  }
  const uint32_t tiles = static_cast<uint32_t>(
      tile_warps * kMmaStages *
      MmaTileBytes(row_bytes, shape.kv_dtype == kQuatrainInt8));
  SharedBuilder builder;
  layout.keys = builder.Add(std::max(tiles, states.bytes()));
  layout.values = builder.Add(2 * (row_bytes + sizeof(float)));
  layout.queries = builder.Add(padded * head_dim * 2);
  layout.scores = builder.Add(padded * sizeof(float));
  layout.ranges = builder.Add(padded * 2 * sizeof(int32_t));
  layout.flag = builder.Add(sizeof(int32_t));
  layout.bytes = builder.bytes();
  layout.key_stride = KeyStride(row_bytes);
  layout.row_bytes = row_bytes;
  return layout;
}

// With at most `most` rows.
AttendRows RowsWithin(int most, int count, int list) {
  AttendRows rows{};
  rows.rows = kMmaRows;
  rows.head_parts = CeilDiv(count, most);
  rows.heads = CeilDiv(count, rows.head_parts);
  rows.tokens = list == kChunks ? most / rows.heads : 1;
  rows.total = rows.heads * rows.tokens;
  rows.row_warps = CeilDiv(rows.total, kMmaRows);
  return rows;
}

// The most row warps with which so many blocks fit an SM; 0: none.
int RowWarpsThatFit(const QuatrainAttendShape& shape, int list, int blocks) {
  const int limit = SmBytes(shape.compute_capability) / blocks - kBlockOverhead;
  int row_warps = kMmaWarps;
  const auto fits = [&] {
    const AttendRows rows =
        RowsWithin(row_warps * kMmaRows, CountOf(shape), list);
    return Layout(shape, rows, 1).bytes <= static_cast<uint32_t>(limit);
  };
  while (row_warps > 0 && !fits()) --row_warps;
  return row_warps;
}

}  // namespace

bool IsForMma(const QuatrainAttendShape& shape) {
  if (shape.kv_dtype == kQuatrainF32) return false;
  for (const int dim : {64, 80, 96, 128, 256})
    if (shape.head_dim == dim) return true;
  return false;
}

AttendRows PlanMmaRows(const QuatrainAttendShape& shape, int list) {
  // Two blocks hide each other's barriers, unless that takes most rows.
  int row_warps = RowWarpsThatFit(shape, list, 2);
  if (row_warps < 2) row_warps = RowWarpsThatFit(shape, list, 1);
  return RowsWithin(row_warps * kMmaRows, CountOf(shape), list);
}

AttendLaunch PlanAttendMma(const QuatrainAttendShape& shape, int list,
                           int num_sequences) {
  AttendLaunch launch{};
  launch.rows = PlanMmaRows(shape, list);
  // With work for all, blocks on an SM hide each other's ends; with little, a
  // piece must end soon.
  const int64_t pieces = int64_t{num_sequences} * shape.num_uses;
  const int blocks = list == kChunks || pieces >= 2 * shape.num_sms ? 2 : 1;
  const int sm_bytes = SmBytes(shape.compute_capability);
  const auto fits = [&](int tile_warps) {
    launch.shared = Layout(shape, launch.rows, tile_warps);
    const int limit = sm_bytes / (tile_warps > 1 ? blocks : 1);
    return static_cast<int>(launch.shared.bytes) + kBlockOverhead <= limit;
  };
  int tile_warps = std::max(kMmaWarps / launch.rows.row_warps, 1);
  while (!fits(tile_warps) && tile_warps > 1) --tile_warps;
  launch.tile_warps = tile_warps;
  const int resident =
      sm_bytes / (static_cast<int>(launch.shared.bytes) + kBlockOverhead);
  // By registers: launch bounds of AttendMmaKernel.
  const int most = shape.head_dim > 128 ? 2 : 3;
  launch.num_blocks = shape.num_sms * std::max(std::min(resident, most), 1);
  return launch;
}

}  // namespace quatrain::cuda
