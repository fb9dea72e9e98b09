// Exact paged attention, for decode and chunks of prompts alike.
//
//   out[t, h] = softmax(scale * q[t, h] . K[visible]) V[visible]
//
// in the order of docs/numerics.md, 5: tiles of 32 keys, segments of 512, both
// at fixed positions, merged ascending. Its parts: attention_plan.h (who does
// what), attention_work.cu (pieces of work), attention_page.cuh and
// attention_load.cuh (pages to shared memory), attention_tile.cuh (one warp,
// one tile), attention_merge.cuh, attention_kernel.cuh (the loop); one file per
// type of cache.
//
// Shapes    see table_attention.h. A piece is up to `rows` (token, query head)
//           pairs that share a KV head, over a run of segments. K and V are
//           read once per piece, 16 bytes per lane, and widened once per warp.
// Launch    a persistent grid takes pieces in turn. Warps form tile_warps x
//           row_warps: decode has 8 tiles (or 4, two blocks per SM) in hand at
//           a time for the heads of one KV head, chunks 1 tile for 4 groups of
//           8 rows. K and V of a tile are a buffer each, filled by cp.async:
//           the next K arrives while V is used and tiles are merged, the next V
//           from there on. PlanAttend() sizes the shared memory.
// Numerics  exact; a NaN score reaches every dim of its head, and is
//           0x7fc00000.
// Roofline  per key and KV head 2 * head_dim elements of the cache, for 4 *
//           head_dim * rows f32 operations on CUDA cores. With f16 and one row
//           decode is bound by memory (H200: 17 bytes per clock and SM, 9
//           elements); with 8 rows 9 elements want 72 of 128 fma per clock plus
//           widening and weights, so memory and issue are near each other.
//           Bytes in flight: 8 tiles of 8 KiB. Chunks are bound by fma: at most
//           33 Tfma/s on H200.

#include "kernels/cuda/attention.h"

#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {

namespace {

const char* LaunchList(const QuatrainAttend& op, int index,
                       simt::Stream stream) {
  const AttendLaunch launch =
      PlanAttend(op.shape, index, op.step.num_sequences);
  const AttendArguments args = ArgumentsOf(op, index, launch);
  switch (op.kv.dtype) {
    case kQuatrainF16:
      return LaunchAttendAs<CacheF16>(args, launch, stream);
    case kQuatrainBF16:
      return LaunchAttendAs<CacheBF16>(args, launch, stream);
    case kQuatrainF32:
      return LaunchAttendAs<CacheF32>(args, launch, stream);
    case kQuatrainInt8:
      return LaunchAttendAs<CacheInt8>(args, launch, stream);
    default:
      return LaunchAttendAs<CacheFp8>(args, launch, stream);
  }
}

}  // namespace

const char* LaunchAttend(const QuatrainAttend& op, simt::Stream stream) {
  if (const char* wrong = CheckAttend(op, 0)) return wrong;
  return LaunchLists(op,
                     [&](int list) { return LaunchList(op, list, stream); });
}

}  // namespace quatrain::cuda
