#pragma once

#include <cstdint>

#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_sampling.h"

// How results are written; each by one thread.
namespace quatrain::cuda {

__device__ __forceinline__ void SetNotFinite(QuatrainSampled& out) {
  out.token_id = -1;
  out.not_finite = 1;
  out.logprob = 0.0f;
  out.rank = 0;
  out.num_top = 0;
}

// The token of a row with its log-probability. Its rank starts at 1, to which
// the last kernel adds.
__device__ __forceinline__ void SetChosen(const QuatrainSampleInput& in,
                                          int row, int index, float raw_lse,
                                          QuatrainSampled& out) {
  out.token_id = index;
  if (!WantsLogprobs(in.rows[row])) return;
  out.logprob = __fsub_rn(RawLogits(in, row)[index], raw_lse);
  out.rank = 1;
}

__device__ __forceinline__ QuatrainCandidate
CandidateOf(const QuatrainSampleInput& in, int row, int index) {
  return {in.first_id + index, DrawLogits(in, row)[index],
          RawLogits(in, row)[index]};
}

}  // namespace quatrain::cuda
