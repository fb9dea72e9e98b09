#pragma once

#include <cstdint>

#include "kernels/cuda/gumbel.cuh"
#include "kernels/cuda/sample_key.cuh"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {

// The largest key of l + Gumbel among those of a lane's values of the tile at
// `begin` that `kept` names by bit. l: logit / temperature.
__device__ __forceinline__ Key LargestPerturbed(const QuatrainSampleRow& row,
                                                int first_id, int begin,
                                                const float (&l)[kLaneValues],
                                                unsigned kept) {
  Key best = kNoKey;
#pragma unroll
  for (int run = 0; run < kLaneValues; run += 4) {
    if ((kept >> run & 15u) == 0) continue;
    const int index = begin + IndexInTile(run);
    // first_id and index are multiples of 4: one block of words serves four.
    const PhiloxBlock bits =
        DrawBits(row, static_cast<uint32_t>(first_id + index) >> 2);
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if ((kept >> (run + j) & 1u) != 0)
        best = MaxKey(best,
                      KeyOf(__fadd_rn(l[run + j], GumbelOfBits(bits.words[j])),
                            index + j));
  }
  return best;
}

}  // namespace quatrain::cuda
