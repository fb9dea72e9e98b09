// The threshold of what a row's filters keep, and the best of its raw logits.
//
//   top_k: the first k by l; top_p: of these, the shortest prefix with a mass
//   of top_p * 2^40. Both are prefixes of one order, so their result is one
//   key.
//
// Shapes    table_sampling.h; per row a RowScratch, as the scan left it.
// Launch    512 threads; per row one block per 4096 ids and one more. The
// former
//           make a histogram over all ids where one is needed (top_p alone, or
//           a top_k beyond the number of tiles); the last of them to arrive, or
//           the first, descends to the threshold. The latter lists the best.
// Numerics  docs/numerics.md, 6: exact. Masses are integers and sums of them
//           need no order; L after top_k is summed in f64 over sorted lists of
//           at most 2048 keys.
// Roofline  top_p alone reads 4 bytes per logit once, spread over blocks; then,
//           and for a usual top_k from the start, one block reads the tiles
//           that can hold the boundary, some ten KiB, two or three times:
//           latency. A top_k of many thousands with top_p is slow: 2048 keys
//           per some passes over the row.

#include "kernels/cuda/arrives_last.cuh"
#include "kernels/cuda/sample_bins.cuh"
#include "kernels/cuda/sample_descend.cuh"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/sample_spread.cuh"
#include "kernels/cuda/sample_stages.h"

namespace quatrain::cuda {
namespace {

// The log-sum-exp of the first `count` keys, in their order. Sorted lists are
// summed one after the other.
__device__ float SortedLse(const RowKeys& keys, Key threshold, uint32_t count,
                           Key best, Bins& bins, Key* list) {
  SIMT_SHARED(float, result, [1]);
  const float max = ValueOf(best);
  double sum = 0.0;  // of warp 0
  Range range{threshold, best};
  while (count > 0) {
    const uint32_t size = min(count, static_cast<uint32_t>(kListSize));
    Range part = range;
    if (size < count)
      part.low = Descend(keys, CountGoal(size), range, {0, 0}, bins);
    ListKeys(keys, part, static_cast<int>(size), list);
    if (threadIdx.x < 32)
      sum = AddTerms(sum, max, static_cast<int>(size),
                     [=](int i) { return ValueOf(list[i]); });
    count -= size;
    range.high = part.low - 1;
  }
  if (threadIdx.x == 0) result[0] = LseOf(max, sum);
  __syncthreads();  // result is written
  return result[0];
}

struct Filter {
  uint32_t top_k;  // all ids, if off
  bool by_mass;
  double mass;
};

__device__ Filter FilterOf(const QuatrainSampleRow& row, int size) {
  const int top_k = row.top_k > 0 && row.top_k < size ? row.top_k : size;
  return {static_cast<uint32_t>(top_k), row.top_p < 1.0f,
          __dmul_rn(static_cast<double>(row.top_p), 0x1p40)};
}

// Every block of a row's chunks; true in the one that has the threshold.
__device__ bool FindThreshold(const QuatrainSampleInput& in, int row_index,
                              int chunk, const RowScratch& scratch, Bins& bins,
                              Key* list, Key& threshold) {
  const QuatrainSampleRow& row = in.rows[row_index];
  RowState& state = scratch.state();
  const RowKeys keys{DrawLogits(in, row_index), row.temperature,
                     in.num_drawable, scratch.tile_best()};
  const Filter filter = FilterOf(row, keys.size);
  const bool counts = filter.top_k < static_cast<uint32_t>(keys.size);
  const bool mass_of_all = filter.by_mass && row.top_k == 0;
  const bool has_histogram =
      mass_of_all ||
      (counts && filter.top_k > static_cast<uint32_t>(NumTiles(keys.size)));

  threshold = kNoKey;
  if (has_histogram) {
    const Goal goal = mass_of_all ? MassGoal(filter.mass, state.lse)
                                  : CountGoal(filter.top_k);
    const Spread spread{ValueOf(state.best), __fmul_rn(32.0f, row.temperature)};
    AddChunk(keys, chunk, spread, goal, scratch, bins);
    if (!ArrivesLast(&state.tickets[kSelectTicket],
                     static_cast<unsigned>(NumSelectChunks(keys.size))))
      return false;
    threshold = DescendFromHistogram(keys, spread, goal, scratch, bins);
  } else {
    if (chunk != 0) return false;
    if (counts)
      threshold = ThresholdOfCount(keys, filter.top_k, state.best, bins);
  }
  if (!filter.by_mass || mass_of_all) return true;
  const float lse =
      SortedLse(keys, threshold, filter.top_k, state.best, bins, list);
  threshold = Descend(keys, MassGoal(filter.mass, lse), {threshold, state.best},
                      {0, 0}, bins);
  return true;
}

__device__ void WriteTop(const QuatrainSampleInput& in, int row_index,
                         const RowScratch& scratch, Bins& bins, Key* list,
                         QuatrainSampled& out) {
  const RowState& state = scratch.state();
  const float* logits = RawLogits(in, row_index);
  const int count = min(in.rows[row_index].top_logprobs, in.num_drawable);
  ListBest({logits, 1.0f, in.num_drawable, scratch.raw_tile_best()}, count,
           state.raw_best, bins, list);
  const int i = static_cast<int>(threadIdx.x);
  if (i < count) {
    const int index = IndexOf(list[i]);
    out.top[i] = {index, __fsub_rn(logits[index], state.raw_lse)};
  }
  if (i == 0) out.num_top = count;
}

// Two blocks per multiprocessor, so that one row's descent does not keep
// another row's histogram waiting.
__global__ void __launch_bounds__(kSelectThreads, 2)
    SelectKernel(QuatrainSample op) {
  SIMT_SHARED(Bins, bins, [1]);
  SIMT_SHARED(Key, list, [kListSize]);
  const QuatrainSampleInput& in = op.input;
  const int num_chunks = NumSelectChunks(in.num_drawable);
  const int row = static_cast<int>(blockIdx.x) / (num_chunks + 1);
  const int chunk = static_cast<int>(blockIdx.x) % (num_chunks + 1);
  const RowScratch scratch(in.scratch, row, in.num_ids);
  RowState& state = scratch.state();
  if (chunk == num_chunks) {
    if ((state.stages & kTops) != 0)
      WriteTop(in, row, scratch, bins[0], list, op.out[row]);
    return;
  }
  if ((state.stages & kSelects) == 0) return;
  Key threshold;
  if (FindThreshold(in, row, chunk, scratch, bins[0], list, threshold) &&
      threadIdx.x == 0)
    state.threshold = threshold;
}

}  // namespace

void LaunchSelect(const QuatrainSample& op, simt::Stream stream) {
  const QuatrainSampleInput& in = op.input;
  simt::launch(SelectKernel,
               dim3(in.num_rows * (NumSelectChunks(in.num_drawable) + 1)),
               dim3(kSelectThreads), 0, stream, op);
}

}  // namespace quatrain::cuda
