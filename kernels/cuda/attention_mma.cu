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

#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/attention_mma_plan.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {

namespace {

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
    default:
      return LaunchAttendMmaAs<CacheFp8>(args, launch, stream);
  }
}

}  // namespace

const char* LaunchAttendMma(const QuatrainAttend& op, simt::Stream stream) {
  if (const char* wrong = CheckAttend(op, 1)) return wrong;
  return LaunchLists(op,
                     [&](int list) { return LaunchList(op, list, stream); });
}

}  // namespace quatrain::cuda
