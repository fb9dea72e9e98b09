// Ranks: how many drawable logits come before one, by raw logit.
//
//   count = |{i : logit[i] > value, or logit[i] == value and i < end_of_ties}|
//
// Shapes    table_sampling.h.
// Launch    one block of 256 threads per 2048 ids of a row, one warp per tile
// of
//           256, each adds its count to the row's.
// Numerics  integers.
// Roofline  of a drawn or scored token only the tiles with a larger logit are
//           read, which the scan has noted; count() reads 4 bytes per logit.

#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/sample_stages.h"

namespace quatrain::cuda {
namespace {

// Adds to *count the calling warp's share of the values before (value, index).
__device__ void CountTile(const float* logits, int tile, int size, float value,
                          int end_of_ties, int32_t* count) {
  const int begin = tile * kVocabTile;
  float values[kLaneValues];
  LoadTile(logits, begin, size, values);
  int before = 0;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) {
    const int index = begin + IndexInTile(j);
    if (index < size &&
        (values[j] > value || (values[j] == value && index < end_of_ties)))
      ++before;
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    before += __shfl_xor_sync(~0u, before, step);
  if (threadIdx.x % 32 == 0 && before > 0) atomicAdd(count, before);
}

__global__ void __launch_bounds__(kStreamThreads)
    RankKernel(QuatrainSample op) {
  const QuatrainSampleInput& in = op.input;
  const int num_chunks = NumChunks(in.num_drawable);
  const int row = static_cast<int>(blockIdx.x) / num_chunks;
  const int tile = static_cast<int>(blockIdx.x) % num_chunks * kChunkTiles +
                   static_cast<int>(threadIdx.x) / 32;
  const RowScratch scratch(in.scratch, row, in.num_ids);
  if ((scratch.state().stages & kCounts) == 0 ||
      tile >= NumTiles(in.num_drawable))
    return;
  QuatrainSampled& out = op.out[row];
  const float* logits = RawLogits(in, row);
  if (scratch.raw_tile_best()[tile] <=
      KeyOf(logits[out.token_id], out.token_id))
    return;  // nothing of the tile comes before
  CountTile(logits, tile, in.num_drawable, logits[out.token_id], out.token_id,
            &out.rank);
}

__global__ void __launch_bounds__(kStreamThreads)
    CountKernel(QuatrainCount op) {
  const QuatrainSampleInput& in = op.input;
  const int num_chunks = NumChunks(in.num_drawable);
  const int row = static_cast<int>(blockIdx.x) / num_chunks;
  const int tile = static_cast<int>(blockIdx.x) % num_chunks * kChunkTiles +
                   static_cast<int>(threadIdx.x) / 32;
  const QuatrainCountBefore& wanted = op.rows[row];
  if (wanted.wanted == 0 || tile >= NumTiles(in.num_drawable)) return;
  CountTile(RawLogits(in, row), tile, in.num_drawable, wanted.value,
            wanted.end_of_ties, &op.counts[row]);
}

dim3 Grid(const QuatrainSampleInput& in) {
  return dim3(in.num_rows * NumChunks(in.num_drawable));
}

}  // namespace

void LaunchRank(const QuatrainSample& op, simt::Stream stream) {
  simt::launch(RankKernel, Grid(op.input), dim3(kStreamThreads), 0, stream, op);
}

void LaunchCounting(const QuatrainCount& op, simt::Stream stream) {
  simt::launch(CountKernel, Grid(op.input), dim3(kStreamThreads), 0, stream,
               op);
}

}  // namespace quatrain::cuda
