// The first pass over logits: all that can be known of a row by reading it
// once.
//
//   not finite; log-sum-exps per tile and their merger; the largest logit, the
//   largest l + Gumbel, or, for a row with filters, the largest l per tile
//
// Shapes    table_sampling.h; per row a RowScratch.
// Launch    one block of 256 threads per 2048 ids of a row, one warp per tile
// of
//           256; the row's last block to arrive merges.
// Numerics  docs/numerics.md, 6: exact. A halving sum over a tile is one
//           addition in the lane, five steps of exchange, two in the lane.
// Roofline  4 bytes per logit (8 where penalties or biases apply): 152k ids 0.2
//           us at 3.35 TB/s, so a few rows are bound by the latency of one
//           block and of the merger, whose chain of f64 additions is 594 long.

#include "kernels/cuda/arrives_last.cuh"
#include "kernels/cuda/sample_finish.cuh"
#include "kernels/cuda/sample_noise.cuh"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/sample_stages.h"
#include "kernels/cuda/sample_tile.cuh"

namespace quatrain::cuda {
namespace {

// Turns the lane's drawable logits into l and returns the largest of what the
// row takes the largest of. The whole warp calls it.
__device__ Key ScanDraw(const QuatrainSampleInput& in,
                        const QuatrainSampleRow& row, int tile, int size,
                        unsigned drawable, float (&l)[kLaneValues],
                        const Tiles& tiles) {
  const int begin = tile * kVocabTile;
  if (row.temperature == 0.0f) return Largest(l, begin, drawable);
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) l[j] = __fdiv_rn(l[j], row.temperature);
  if (WantsLse(row) && size > 0) {
    const float lse = TileLse(l, size);
    if (threadIdx.x % 32 == 0) tiles.lse[tile] = lse;
  }
  return IsFiltered(row)
             ? Largest(l, begin, drawable)
             : LargestPerturbed(row, in.first_id, begin, l, drawable);
}

__device__ void ScanTile(const QuatrainSampleInput& in, int row_index, int tile,
                         const Tiles& tiles) {
  const QuatrainSampleRow& row = in.rows[row_index];
  const int begin = tile * kVocabTile;
  const int size = min(kVocabTile, in.num_ids - begin);
  const int num_drawable = min(max(in.num_drawable - begin, 0), size);
  const unsigned drawable = Before(num_drawable);
  const bool writes = threadIdx.x % 32 == 0;

  float values[kLaneValues];
  LoadTile(RawLogits(in, row_index), begin, in.num_ids, values);
  bool finite = AllFinite(values, Before(size));
  if (WantsLogprobs(row)) {
    const float lse = TileLse(values, size);
    if (writes) tiles.raw_lse[tile] = lse;
    const Key best = WarpMax(Largest(values, begin, drawable));
    if (writes) tiles.raw_best[tile] = best;
  }
  Key best = kNoKey;
  if (Draws(row)) {
    if (IsTransformed(row)) {
      LoadTile(DrawLogits(in, row_index), begin, in.num_drawable, values);
      finite = AllFinite(values, drawable) && finite;
    }
    best =
        WarpMax(ScanDraw(in, row, tile, num_drawable, drawable, values, tiles));
  }
  if (writes) tiles.best[tile] = finite ? best : kNotFiniteKey;
}

__global__ void __launch_bounds__(kStreamThreads)
    ScanKernel(QuatrainSampleInput in, ScanOutput output) {
  const int num_chunks = NumChunks(in.num_ids);
  const int row = static_cast<int>(blockIdx.x) / num_chunks;
  const int chunk = static_cast<int>(blockIdx.x) % num_chunks;
  const RowScratch scratch(in.scratch, row, in.num_ids);
  if (in.rows[row].kind == kQuatrainSkipRow || IsMarked(in, row)) {
    if (chunk == 0 && threadIdx.x == 0)
      SetUnused(in, row, output, scratch.state());
    return;
  }
  const Tiles tiles = TilesOf(output, row, scratch);
  const int tile = chunk * kChunkTiles + static_cast<int>(threadIdx.x) / 32;
  if (tile < NumTiles(in.num_ids)) ScanTile(in, row, tile, tiles);
  if (ArrivesLast(&scratch.state().tickets[kScanTicket],
                  static_cast<unsigned>(num_chunks)))
    Finish(in, row, tiles, output, scratch.state());
}

}  // namespace

void LaunchScan(const QuatrainSampleInput& in, const ScanOutput& output,
                simt::Stream stream) {
  simt::launch(ScanKernel, dim3(in.num_rows * NumChunks(in.num_ids)),
               dim3(kStreamThreads), 0, stream, in, output);
}

}  // namespace quatrain::cuda
