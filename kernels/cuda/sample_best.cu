// The candidates that a rank of a larger group sends (kernels/sampler.cc).
//
//   of a filtered row its best by l, up to 256; its best by raw logit, up to 20
//
// Shapes    table_sampling.h; per row a RowScratch, as the scan left it.
// Launch    two blocks of 512 threads per row, one for each list.
// Numerics  docs/numerics.md, 6: exact.
// Roofline  latency: N ids lie in the N tiles with the largest maxima, so at
// most
//           N KiB are read, two or three times.

#include "kernels/cuda/sample_chosen.cuh"
#include "kernels/cuda/sample_descend.cuh"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/sample_stages.h"

namespace quatrain::cuda {
namespace {

__global__ void __launch_bounds__(kSelectThreads)
    BestKernel(QuatrainSamplePart op) {
  SIMT_SHARED(Bins, bins, [1]);
  SIMT_SHARED(Key, list, [kListSize]);
  const QuatrainSampleInput& in = op.input;
  const int row_index = static_cast<int>(blockIdx.x / 2);
  const bool tops = blockIdx.x % 2 != 0;
  const QuatrainSampleRow& row = in.rows[row_index];
  const RowScratch scratch(in.scratch, row_index, in.num_ids);
  const RowState& state = scratch.state();
  if ((state.stages & (tops ? kTops : kSelects)) == 0 || in.num_drawable == 0)
    return;
  RowKeys keys{DrawLogits(in, row_index), row.temperature, in.num_drawable,
               scratch.tile_best()};
  int count = kQuatrainMaxCandidates;
  if (row.top_k > 0) count = min(count, row.top_k);
  if (tops) {
    keys = {RawLogits(in, row_index), 1.0f, in.num_drawable,
            scratch.raw_tile_best()};
    count = row.top_logprobs;
  }
  count = min(count, in.num_drawable);
  ListBest(keys, count, tops ? state.raw_best : state.best, bins[0], list);
  const int i = static_cast<int>(threadIdx.x);
  QuatrainCandidate* out =
      tops ? op.top + static_cast<int64_t>(row_index) * kQuatrainMaxTopLogprobs
           : op.candidates +
                 static_cast<int64_t>(row_index) * kQuatrainMaxCandidates;
  if (i < count) out[i] = CandidateOf(in, row_index, IndexOf(list[i]));
  if (i != 0) return;
  if (tops)
    op.parts[row_index].num_top = count;
  else
    op.parts[row_index].num_candidates = count;
}

}  // namespace

void LaunchBest(const QuatrainSamplePart& op, simt::Stream stream) {
  simt::launch(BestKernel, dim3(op.input.num_rows * 2), dim3(kSelectThreads), 0,
               stream, op);
}

}  // namespace quatrain::cuda
