// Divides a step's attention into pieces of work, on the device, so that a
// captured graph serves steps of any lengths.
//
//   every sequence with one token is a piece, every longer chunk is cut into
//   pieces of `tokens` tokens; each is split into runs of 2^k segments
//
// Shapes    in: cu_seqlens, positions. Out: WorkEntry[] of both lists, their
//           lengths, counters at 0 (attention_plan.h).
// Launch    one block of 1024 threads, once per step; 0.4 KiB of static shared
//           memory. A thread looks at one sequence with one token, a warp
//           divides longer ones.
// Numerics  integers. The largest k that gives WantedPieces() is taken, or the
//           smallest whose states fit. What the order of entries is does not
//           matter to any result.
// Roofline  latency: two passes over the sequences, some microseconds.

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

constexpr int kThreads = 1024;
// Runs of up to 2^11 segments, a million keys. The last entry stands for any
// length: with it nothing is split.
constexpr int kNumRuns = 13;

struct List {
  WorkEntry* entries;
  int32_t* counters;
  int num_slots;
  int pieces;
  int tokens;
};

struct WorkArguments {
  QuatrainStep step;
  int window;
  int wanted;
  int32_t* num_entries;
  List lists[kNumAttendLists];
};

struct Run {
  int first_segment, end_segment;
  // How many entries it becomes with 2^k segments each.
  __device__ __forceinline__ int Splits(int k) const {
    if (k == kNumRuns - 1) return 1;
    return (end_segment - first_segment + (1 << k) - 1) >> k;
  }
};

// The segments that tokens [first, first + n) see.
__device__ __forceinline__ Run SegmentsOf(const WorkArguments& args, int first,
                                          int n) {
  const int position = args.step.positions[first];
  const int begin = args.window > 0 ? max(0, position + 1 - args.window) : 0;
  return {begin / kAttendSegment, (position + n - 1) / kAttendSegment + 1};
}

// Calls f(sequence, first token, number of tokens) for what belongs to a list.
// A block takes part as a whole.
template <int kList, typename F>
__device__ __forceinline__ void ForEach(const WorkArguments& args, F f) {
  const int32_t* ends = args.step.cu_seqlens;
  const int lane = threadIdx.x % 32;
  for (int base = static_cast<int>(threadIdx.x) - lane;
       base < args.step.num_sequences; base += kThreads) {
    const int s = base + lane;
    const int first = s < args.step.num_sequences ? ends[s] : 0;
    const int n = s < args.step.num_sequences ? ends[s + 1] - first : 0;
    if constexpr (kList == kSingles) {
      if (n == 1) f(s, first, 1);
    } else {
      const int tokens = args.lists[kChunks].tokens;
      for (uint32_t rest = __ballot_sync(~0u, n > 1); rest != 0;
           rest &= rest - 1) {
        const int source = __ffs(static_cast<int>(rest)) - 1;
        const int begin = __shfl_sync(~0u, first, source);
        const int end = begin + __shfl_sync(~0u, n, source);
        for (int t = begin + lane * tokens; t < end; t += 32 * tokens)
          f(base + source, t, min(tokens, end - t));
      }
    }
  }
}

// Entries and states of a list if runs are 2^k segments.
struct Counts {
  int entries[kNumRuns];
  int slots[kNumRuns];
};

template <int kList>
__device__ __forceinline__ void Count(const WorkArguments& args,
                                      Counts& total) {
  int entries[kNumRuns] = {};
  int slots[kNumRuns] = {};
  ForEach<kList>(args, [&](int, int first, int n) {
    const Run run = SegmentsOf(args, first, n);
#pragma unroll
    for (int k = 0; k < kNumRuns; ++k) {
      const int splits = run.Splits(k);
      entries[k] += splits;
      slots[k] += splits > 1 ? splits : 0;
    }
  });
#pragma unroll
  for (int k = 0; k < kNumRuns; ++k) {
    if (entries[k] == 0) continue;
    atomicAdd(&total.entries[k], entries[k]);
    atomicAdd(&total.slots[k], slots[k]);
  }
}

__device__ __forceinline__ int ChooseRun(const List& list, int wanted,
                                         const Counts& counts) {
  int k = kNumRuns - 1;
  while (k > 0 && counts.entries[k] * list.pieces < wanted) --k;
  while (counts.slots[k] > list.num_slots) ++k;
  return k;
}

template <int kList>
__device__ __forceinline__ void Write(const WorkArguments& args, int k,
                                      int32_t& next_entry, int32_t& next_slot) {
  const List& list = args.lists[kList];
  ForEach<kList>(args, [&](int sequence, int first, int n) {
    const Run run = SegmentsOf(args, first, n);
    const int splits = run.Splits(k);
    WorkEntry* to = list.entries + atomicAdd(&next_entry, splits);
    const int slot = splits > 1 ? atomicAdd(&next_slot, splits) : 0;
    for (int i = 0; i < splits; ++i) {
      const int begin =
          splits > 1 ? run.first_segment + (i << k) : run.first_segment;
      const int end = i + 1 < splits ? begin + (1 << k) : run.end_segment;
      to[i] = {sequence, first, n, begin, end, i, splits, slot + i};
    }
  });
}

__global__ void __launch_bounds__(kThreads)
    AttendWorkKernel(WorkArguments args) {
  SIMT_SHARED(Counts, counts, [kNumAttendLists]);
  SIMT_SHARED(int32_t, next_entry, [kNumAttendLists]);
  SIMT_SHARED(int32_t, next_slot, [kNumAttendLists]);
  if (threadIdx.x < kNumAttendLists) {
    counts[threadIdx.x] = {};
    next_entry[threadIdx.x] = 0;
    next_slot[threadIdx.x] = 0;
  }
  __syncthreads();  // zeros before sums
  Count<kSingles>(args, counts[kSingles]);
  Count<kChunks>(args, counts[kChunks]);
  __syncthreads();  // sums before choices
  Write<kSingles>(
      args, ChooseRun(args.lists[kSingles], args.wanted, counts[kSingles]),
      next_entry[kSingles], next_slot[kSingles]);
  Write<kChunks>(args,
                 ChooseRun(args.lists[kChunks], args.wanted, counts[kChunks]),
                 next_entry[kChunks], next_slot[kChunks]);
  __syncthreads();  // all entries before their number is read
  if (threadIdx.x < kNumAttendLists)
    args.num_entries[threadIdx.x] = next_entry[threadIdx.x];
#pragma unroll
  for (int i = 0; i < kNumAttendLists; ++i)
    for (int c = threadIdx.x; c < next_slot[i] * args.lists[i].pieces;
         c += kThreads)
      args.lists[i].counters[c] = 0;
}

}  // namespace

const char* AttendBytes(const QuatrainAttendShape& shape, size_t* bytes) {
  if (const char* wrong = CheckAttendShape(shape)) return wrong;
  *bytes = PlanAttendScratch(shape).bytes;
  return nullptr;
}

const char* LaunchAttendWork(const QuatrainAttendWork& op,
                             simt::Stream stream) {
  if (const char* wrong = CheckAttendShape(op.shape)) return wrong;
  if (op.step.num_tokens > op.shape.max_tokens ||
      op.step.num_sequences > op.shape.max_sequences)
    return "attend_work: a step beyond the limits";
  const AttendScratch scratch = PlanAttendScratch(op.shape);
  unsigned char* const work = static_cast<unsigned char*>(op.work);
  WorkArguments args{};
  args.step = op.step;
  args.window = op.shape.window;
  args.wanted = WantedPieces(op.shape);
  args.num_entries = reinterpret_cast<int32_t*>(work + scratch.num_entries);
  for (int i = 0; i < kNumAttendLists; ++i) {
    const AttendScratch::List& list = scratch.lists[i];
    args.lists[i] = {reinterpret_cast<WorkEntry*>(work + list.entries),
                     reinterpret_cast<int32_t*>(work + list.counters),
                     list.num_slots, list.pieces,
                     PlanAttendRows(op.shape, i).tokens};
  }
  simt::launch(AttendWorkKernel, dim3(1), dim3(kThreads), 0, stream, args);
  return nullptr;
}

}  // namespace quatrain::cuda
