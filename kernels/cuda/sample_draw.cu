// The draw among what a row's filters keep, and ranks.
//
//   token = argmax of l + Gumbel over keys >= threshold with l - max >=
//   log(min_p) rank  = 1 + how many drawable logits come before the token's raw
//   logit
//
// Shapes    table_sampling.h; the threshold is in the row's scratch.
// Launch    one block of 256 threads per 2048 ids of a row, one warp per tile
// of
//           256; the last block to arrive takes the largest of all.
// Numerics  docs/numerics.md, 6: exact.
// Roofline  only tiles whose largest l is kept are read; a launch where filters
//           keep little.

#include "kernels/cuda/arrives_last.cuh"
#include "kernels/cuda/sample_chosen.cuh"
#include "kernels/cuda/sample_noise.cuh"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/sample_stages.h"

namespace quatrain::cuda {
namespace {

// Whether min_p keeps l. What it drops of a tile's largest it drops of all.
__device__ __forceinline__ bool PassesMinP(const QuatrainSampleRow& row,
                                           const RowState& state, float l) {
  return row.min_p == 0.0f ||
         __fsub_rn(l, ValueOf(state.best)) >= Log(row.min_p);
}

// Bits of the lane's values that the filters keep.
__device__ unsigned KeptOf(const QuatrainSampleRow& row, const RowState& state,
                           int begin, int size, const float (&l)[kLaneValues]) {
  unsigned kept = 0;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) {
    const int index = begin + IndexInTile(j);
    if (index < size && KeyOf(l[j], index) >= state.threshold &&
        PassesMinP(row, state, l[j]))
      kept |= 1u << j;
  }
  return kept;
}

// The warp's tile: the largest perturbed key of what is kept.
__device__ Key DrawTile(const QuatrainSampleInput& in, int row_index, int tile,
                        const RowScratch& scratch) {
  const RowState& state = scratch.state();
  const QuatrainSampleRow& row = in.rows[row_index];
  const Key largest = scratch.tile_best()[tile];
  if (largest < state.threshold || !PassesMinP(row, state, ValueOf(largest)))
    return kNoKey;
  const int begin = tile * kVocabTile;
  float l[kLaneValues];
  LoadTile(DrawLogits(in, row_index), begin, in.num_drawable, l);
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) l[j] = __fdiv_rn(l[j], row.temperature);
  return LargestPerturbed(row, in.first_id, begin, l,
                          KeptOf(row, state, begin, in.num_drawable, l));
}

__global__ void __launch_bounds__(kStreamThreads)
    DrawKernel(QuatrainSample op) {
  const QuatrainSampleInput& in = op.input;
  const int num_chunks = NumChunks(in.num_drawable);
  const int row = static_cast<int>(blockIdx.x) / num_chunks;
  const int chunk = static_cast<int>(blockIdx.x) % num_chunks;
  const RowScratch scratch(in.scratch, row, in.num_ids);
  RowState& state = scratch.state();
  if ((state.stages & kDraws) == 0) return;

  const int tile = chunk * kChunkTiles + static_cast<int>(threadIdx.x) / 32;
  Key best = tile < NumTiles(in.num_drawable) ? DrawTile(in, row, tile, scratch)
                                              : kNoKey;
  best = BlockMax<kStreamThreads>(best);
  if (threadIdx.x == 0) scratch.drawn()[chunk] = best;
  if (!ArrivesLast(&state.tickets[kDrawTicket],
                   static_cast<unsigned>(num_chunks)))
    return;
  best = kNoKey;
  for (int i = threadIdx.x; i < num_chunks; i += kStreamThreads)
    best = MaxKey(best, scratch.drawn()[i]);
  best = BlockMax<kStreamThreads>(best);
  if (threadIdx.x == 0)
    // The largest is always kept, even an infinite l, whose distance is NaN.
    SetChosen(in, row, IndexOf(best == kNoKey ? state.best : best),
              state.raw_lse, op.out[row]);
}

dim3 Grid(const QuatrainSampleInput& in) {
  return dim3(in.num_rows * NumChunks(in.num_drawable));
}

}  // namespace

void LaunchDraw(const QuatrainSample& op, simt::Stream stream) {
  simt::launch(DrawKernel, Grid(op.input), dim3(kStreamThreads), 0, stream, op);
}

}  // namespace quatrain::cuda
