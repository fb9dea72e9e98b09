// Paged attention of the default mode, for decode and chunks of prompts alike,
// on tensor cores.
//
//   out[t, h] = softmax(scale * q[t, h] . K[visible]) V[visible]
//
// Operands, work lists, scratch and the merge of split rows are those of the
// exact form (attention.cu). Its parts: attention_mma_type.cuh (fragments of
// each type of cache), attention_mma_query.cuh, attention_mma_load.cuh (pages
// to shared memory), attention_mma_warp.cuh (a warp's rows),
// attention_mma_kernel.cuh (the loop); one file per type of cache.
//
// Shapes    see table_attention.h. K and V f16, bf16, int8 or fp8, head_dim 64,
//           80, 96, 128, 256. A piece is up to `rows` (token, query head) pairs
//           that share a KV head, in groups of 16, over a run of segments.
// Launch    a persistent grid of up to 4 warps takes pieces in turn. A warp has
//           16 rows: queries (to head_dim 128) and outputs in registers. Row
//           warps share tiles of 32 keys, two in shared memory at a time by
//           cp.async; tile warps have different tiles (decode: 4) and are
//           merged at the end. 35 KiB per tile warp with head_dim 128 and f16.
//           Bytes stay bytes in shared memory and are widened to f16 between
//           ldmatrix and mma.
// Numerics  q is rotated in f32, times scale * log2(e), and rounded to the
//           cache's type (f16, int8, fp8: to f16 as q * 2^-e, its largest in
//           [2^14, 2^15), undone in f32); weights of keys are rounded to it
//           too. All sums in f32, in a fixed order: two runs give the same
//           bits. A NaN score, and any q that is not finite, makes its head
//           0x7fc00000. A score of -infinity has weight 0; if a row has no
//           other, it is NaN. A weight below 2^-25 (f16) is 0 before it meets
//           an infinite V. int8: K's scale multiplies scores, V's scale weights
//           before they are rounded (one rounding; widened values would have
//           one each), both in f32; a scale that is NaN makes the heads that
//           see it NaN.
// Roofline  decode is bound by memory: per key and KV head 4 * head_dim bytes
//           (f16) for up to 16 rows; a tile per warp, 70 KB per block, is in
//           flight. A byte costs 1.25 instructions (int8) or 3.25 (fp8) to
//           widen, of 7 that an H200 has for each byte of its memory.
//           Chunks: 64 mma per warp and tile; 16 rows per ldmatrix bound f16 to
//           about half of the tensor cores' rate on H200, widening the others.

#include "kernels/cuda/attention_mma.h"

#include <algorithm>

#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/attention_mma_plan.h"
#include "kernels/cuda/attention_mma_type.cuh"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {

// In attention_mma_f16.cu and its like.
template <typename Cache>
const char* LaunchAttendMmaAs(const AttendArguments& args,
                              const AttendLaunch& launch, simt::Stream stream);

namespace {

uint32_t Rounded(size_t bytes) {
  return static_cast<uint32_t>((bytes + 15) / 16 * 16);
}

AttendShared Layout(const QuatrainAttendShape& shape, const AttendRows& rows,
                    int tile_warps) {
  const int head_dim = shape.head_dim;
  const int row_bytes = head_dim * CacheElementBytes(shape.kv_dtype);
  AttendShared layout{};
  const size_t total = rows.total;
  const size_t padded = size_t{kMmaRows} * rows.row_warps;
  uint32_t end = 0;
  const auto place = [&end](size_t bytes) {
    const AttendShared::Buffer buffer{end, Rounded(bytes)};
    end += buffer.bytes;
    return buffer;
  };
  layout.total = place(total * (head_dim + 2) * sizeof(float));
  if (tile_warps > 1) {
    layout.partials = place(tile_warps * total * head_dim * sizeof(float));
    layout.sums = place(tile_warps * total * 2 * sizeof(float));
    layout.weights = place(tile_warps * total * 2 * sizeof(float));
  }
  const uint32_t tiles = static_cast<uint32_t>(
      tile_warps * kMmaStages *
      MmaTileBytes(row_bytes, shape.kv_dtype == kQuatrainInt8));
  layout.keys = {0, std::max(tiles, end)};
  end = layout.keys.bytes;
  const auto add = [&](size_t bytes) {
    end += static_cast<uint32_t>(simt::kRedzone);
    return place(bytes);
  };
  layout.values = add(2 * (row_bytes + sizeof(float)));
  layout.queries = add(padded * head_dim * 2);
  layout.scores = add(padded * sizeof(float));
  layout.ranges = add(padded * 2 * sizeof(int32_t));
  layout.flag = add(sizeof(int32_t));
  layout.bytes = end + static_cast<uint32_t>(simt::kRedzone);
  layout.key_stride = MmaStride(row_bytes);
  layout.row_bytes = row_bytes;
  return layout;
}

const char* LaunchList(const QuatrainAttend& op, int index,
                       simt::Stream stream) {
  const AttendLaunch launch =
      PlanAttendMma(op.shape, index, op.step.num_sequences);
  const AttendArguments args = ArgumentsOf(op, index, launch);
  switch (op.kv.dtype) {
    case kQuatrainF16:
      return LaunchAttendMmaAs<CacheF16>(args, launch, stream);
    case kQuatrainBF16:
      return LaunchAttendMmaAs<CacheBF16>(args, launch, stream);
    case kQuatrainInt8:
      return LaunchAttendMmaAs<CacheInt8>(args, launch, stream);
    case kQuatrainFp8:
      return LaunchAttendMmaAs<CacheFp8>(args, launch, stream);
    default:
      return "attend_mma: no caches of f32";
  }
}

}  // namespace

AttendLaunch PlanAttendMma(const QuatrainAttendShape& shape, int list,
                           int num_sequences) {
  AttendLaunch launch{};
  launch.rows = PlanAttendRows(shape, list);
  launch.rows.rows = kMmaRows;
  launch.rows.row_warps = (launch.rows.total + kMmaRows - 1) / kMmaRows;
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

const char* LaunchAttendMma(const QuatrainAttend& op, simt::Stream stream) {
  if (const char* wrong = CheckAttend(op)) return wrong;
  return LaunchLists(op,
                     [&](int list) { return LaunchList(op, list, stream); });
}

}  // namespace quatrain::cuda
