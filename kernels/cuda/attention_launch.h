#pragma once

#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_attention.h"

// What the launchers of both forms of attention do alike.
namespace quatrain::cuda {

// nullptr, or what is wrong with the operands of the entry that `uses_mma`
// names.
inline const char* CheckAttend(const QuatrainAttend& op, int uses_mma) {
  if (const char* wrong = CheckAttendShape(op.shape)) return wrong;
  if (op.shape.uses_mma != uses_mma)
    return "attention: a shape for the other entry";
  if (op.kv.dtype != op.shape.kv_dtype || op.kv.head_dim != op.shape.head_dim ||
      op.kv.num_kv_heads != op.shape.num_kv_heads)
    return "attention: another cache than the shape's";
  if (op.kv.block_size < 1) return "attention: block_size";
  if (op.kv.dtype == kQuatrainInt8 && op.kv.scales == nullptr)
    return "attention: no scales";
  if (op.num_freqs < 0 || 2 * op.num_freqs > op.shape.head_dim)
    return "attention: num_freqs";
  if (op.out_stride % 4 != 0) return "attention: out_stride";
  if (op.stores && (op.lists & kQuatrainChunks))
    return "attention: chunks are stored by store_kv()";
  return nullptr;
}

// What the kernel for one of the two lists of work is told.
inline AttendArguments ArgumentsOf(const QuatrainAttend& op, int index,
                                   const AttendLaunch& launch) {
  const AttendScratch scratch = PlanAttendScratch(op.shape);
  const AttendScratch::List& list = scratch.lists[index];
  unsigned char* const work = static_cast<unsigned char*>(op.work);
  AttendArguments args{};
  args.step = op.step;
  args.qkv = op.qkv;
  args.qkv_stride = op.qkv_stride;
  args.marks = op.marks;
  args.rope = reinterpret_cast<const float2*>(op.rope);
  args.num_freqs = op.num_freqs;
  args.num_q_heads = op.shape.num_q_heads;
  args.head_dim = op.shape.head_dim;
  args.window = op.shape.window;
  args.stores = op.stores;
  args.scale = op.scale;
  args.kv = ViewOf(op.kv, CacheElementBytes(op.kv.dtype));
  args.heads = op.heads;
  args.out = op.out;
  args.out_stride = op.out_stride;
  args.rows = launch.rows;
  args.tile_warps = launch.tile_warps;
  args.layout = launch.shared;
  args.num_entries =
      reinterpret_cast<const int32_t*>(work + scratch.num_entries) + index;
  args.entries = reinterpret_cast<const WorkEntry*>(work + list.entries);
  args.counters = reinterpret_cast<int32_t*>(work + list.counters);
  args.slots = reinterpret_cast<float*>(work + list.slots);
  args.slot_floats = static_cast<int64_t>(list.slot_floats);
  args.pieces = list.pieces;
  return args;
}

// Launches one kernel of either form; nullptr, or what is wrong.
inline const char* LaunchAttendKernel(void (*kernel)(AttendArguments),
                                      const AttendArguments& args,
                                      const AttendLaunch& launch,
                                      simt::Stream stream) {
  if (launch.shared.bytes > 48 * 1024 &&
      !simt::allow_dynamic_shared(kernel, launch.shared.bytes))
    return "attention: not enough shared memory";
  simt::launch(kernel, dim3(launch.num_blocks), dim3(launch.num_threads()),
               launch.shared.bytes, stream, args);
  return nullptr;
}

// The kernel for one type of cache, each defined in a file of its own.
template <typename Cache>
const char* LaunchAttendAs(const AttendArguments& args,
                           const AttendLaunch& launch, simt::Stream stream);
template <typename Cache>
const char* LaunchAttendMmaAs(const AttendArguments& args,
                              const AttendLaunch& launch, simt::Stream stream);

// Calls launch(list) for each list that the step may have; nullptr, or what the
// first that failed says.
template <typename Launch>
const char* LaunchLists(const QuatrainAttend& op, Launch launch) {
  if (op.shape.num_uses == 0 || op.step.num_tokens == 0) return nullptr;
  if (op.lists & kQuatrainSingles)
    if (const char* wrong = launch(kSingles)) return wrong;
  if (op.lists & kQuatrainChunks) return launch(kChunks);
  return nullptr;
}

}  // namespace quatrain::cuda
