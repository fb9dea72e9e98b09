#include "kernels/cuda/attention_plan.h"

#include <algorithm>

#include "kernels/cuda/attention_mma_plan.h"

namespace quatrain::cuda {
namespace {

AttendShared Layout(const QuatrainAttendShape& shape, const AttendRows& rows,
                    int tile_warps) {
  const size_t total = size_t(rows.rows) * rows.row_warps;
  const size_t dim = shape.head_dim;
  AttendShared layout{};
  layout.row_bytes = shape.head_dim * CacheElementBytes(shape.kv_dtype);
  layout.key_stride = KeyStride(layout.row_bytes);
  SharedBuilder builder;
  layout.keys = builder.Add(size_t{kAttendTile} * tile_warps *
                            static_cast<size_t>(layout.key_stride));
  layout.values = builder.Add(size_t{kAttendTile} * tile_warps *
                              static_cast<size_t>(layout.row_bytes));
  layout.partials = builder.Add(tile_warps * total * dim * sizeof(float));
  layout.sums = builder.Add(tile_warps * total * 2 * sizeof(float));
  layout.weights = builder.Add(tile_warps * total * 2 * sizeof(float));
  layout.queries = builder.Add(total * dim * sizeof(float));
  layout.scores = builder.Add(size_t(tile_warps) * rows.row_warps *
                              (rows.rows + 1) * kAttendTile * sizeof(float));
  layout.segment = builder.Add(total * (dim + 2) * sizeof(float));
  layout.total = builder.Add(total * (dim + 2) * sizeof(float));
  layout.ranges = builder.Add(total * 2 * sizeof(int32_t));
  layout.flag = builder.Add(sizeof(int32_t));
  layout.bytes = builder.bytes();
  return layout;
}

// The most tiles in hand with which a block needs at most `budget` bytes.
int TilesThatFit(const QuatrainAttendShape& shape, const AttendRows& rows,
                 int budget) {
  int tiles = kAttendMaxWarps / rows.row_warps;
  while (tiles > 0 &&
         Layout(shape, rows, tiles).bytes > static_cast<uint32_t>(budget))
    --tiles;
  return tiles;
}

int BlockBudget(const QuatrainAttendShape& shape, int blocks) {
  return SmBytes(shape.compute_capability) / blocks - kBlockOverhead;
}

}  // namespace

int SmBytes(int compute_capability) {
  switch (compute_capability) {
    case 80:
      return 164 * 1024;
    case 90:
      return 228 * 1024;
    default:
      return 100 * 1024;
  }
}

int CacheElementBytes(int dtype) {
  switch (dtype) {
    case kQuatrainF16:
    case kQuatrainBF16:
      return 2;
    case kQuatrainF32:
      return 4;
    case kQuatrainInt8:
    case kQuatrainFp8:
      return 1;
    default:
      return 0;
  }
}

const char* CheckAttendShape(const QuatrainAttendShape& shape) {
  const int element = CacheElementBytes(shape.kv_dtype);
  if (element == 0) return "attention: not a type of the KV cache";
  if (shape.head_dim < 8 || shape.head_dim > 256 || shape.head_dim % 8 != 0 ||
      shape.head_dim * element % 16 != 0)
    return "attention: head_dim";
  if (shape.num_uses < 0 || shape.max_count < 0 || shape.window < 0)
    return "attention: heads or window";
  if (shape.uses_mma != 0 && shape.uses_mma != 1) return "attention: uses_mma";
  if (shape.uses_mma && !IsForMma(shape))
    return "attention: not on tensor cores";
  if (shape.max_tokens < 0 || shape.max_sequences < 0 || shape.num_sms < 1)
    return "attention: limits";
  return nullptr;
}

AttendRows PlanAttendRows(const QuatrainAttendShape& shape, int list) {
  if (shape.uses_mma) return PlanMmaRows(shape, list);
  const int count = std::max(shape.max_count, 1);
  AttendRows rows{};
  rows.rows = list == kChunks || count > 4 ? 8 : count > 1 ? 4 : 1;
  // 8 rows of 8 dims per lane would take too many registers, and heads as wide
  // as that are too rare to be compiled for each number.
  if (shape.head_dim > 128) rows.rows = 4;
  rows.row_warps = list == kChunks ? 4 : std::min(CeilDiv(count, rows.rows), 4);
  // Wide heads of f32 on a small SM.
  while (TilesThatFit(shape, rows, BlockBudget(shape, 1)) == 0) {
    if (rows.row_warps > 1)
      --rows.row_warps;
    else
      rows.rows = 4;
  }
  rows.total = rows.rows * rows.row_warps;
  rows.heads = std::min(count, rows.total);
  rows.head_parts = CeilDiv(count, rows.heads);
  rows.tokens = list == kChunks ? rows.total / rows.heads : 1;
  return rows;
}

AttendLaunch PlanAttend(const QuatrainAttendShape& shape, int list,
                        int num_sequences) {
  AttendLaunch launch{};
  launch.rows = PlanAttendRows(shape, list);
  // With work for all, two blocks on an SM hide each other's barriers; with
  // little, a piece must end soon.
  const int64_t pieces = int64_t{num_sequences} * shape.num_uses;
  const bool many = list == kChunks || pieces >= 2 * shape.num_sms;
  int tiles = TilesThatFit(shape, launch.rows, BlockBudget(shape, 1));
  const int tiles_of_two =
      TilesThatFit(shape, launch.rows, BlockBudget(shape, 2));
  if (many && tiles_of_two > 0)
    tiles = std::max(std::min(tiles_of_two, 4 / launch.rows.row_warps), 1);
  launch.tile_warps = tiles;
  launch.shared = Layout(shape, launch.rows, tiles);
  // By registers: up to 168 per thread, 128 with one row.
  const int max_threads = launch.rows.rows > 1 ? 384 : 512;
  const int resident =
      std::min({SmBytes(shape.compute_capability) /
                    static_cast<int>(launch.shared.bytes + kBlockOverhead),
                max_threads / launch.num_threads(), 4});
  launch.num_blocks = shape.num_sms * std::max(resident, 1);
  return launch;
}

int WantedPieces(const QuatrainAttendShape& shape) { return 8 * shape.num_sms; }

AttendScratch PlanAttendScratch(const QuatrainAttendShape& shape) {
  AttendScratch scratch{};
  size_t bytes = 256;  // num_entries
  const auto take = [&bytes](size_t size) {
    const size_t at = bytes;
    bytes += (size + 255) / 256 * 256;
    return at;
  };
  for (int i = 0; i < kNumAttendLists; ++i) {
    AttendScratch::List& list = scratch.lists[i];
    const AttendRows rows = PlanAttendRows(shape, i);
    list.pieces = std::max(shape.num_uses * rows.head_parts, 1);
    // Twice what is wanted: halving a piece's segments overshoots by that.
    list.num_slots = 2 * CeilDiv(WantedPieces(shape), list.pieces) + 1;
    // Whole quads, so that every slot is aligned.
    list.slot_floats =
        size_t(CeilDiv(rows.total * (shape.head_dim + 2), 4)) * 4;
    const int whole = i == kSingles ? shape.max_sequences : shape.max_tokens;
    list.entries = take((size_t(whole) + list.num_slots) * sizeof(WorkEntry));
    const size_t states = size_t(list.num_slots) * list.pieces;
    list.counters = take(states * sizeof(int32_t));
    list.slots = take(states * list.slot_floats * sizeof(float));
  }
  scratch.bytes = bytes;
  return scratch;
}

}  // namespace quatrain::cuda
