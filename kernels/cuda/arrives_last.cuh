#pragma once

#include "kernels/cuda/simt.h"

namespace quatrain::cuda {

// True in the block of `num_blocks` that arrives last at a ticket: it sees what
// the others wrote before. Resets the ticket for the next launch. All threads
// must call it.
__device__ __forceinline__ bool ArrivesLast(unsigned* ticket,
                                            unsigned num_blocks) {
  SIMT_SHARED(unsigned, arrived, [1]);
  __threadfence();  // my results, before the ticket
  __syncthreads();  // everybody's
  if (threadIdx.x == 0) {
    arrived[0] = atomicAdd(ticket, 1u) + 1;
    if (arrived[0] == num_blocks) atomicExch(ticket, 0u);
    __threadfence();  // the others' results, after it
  }
  __syncthreads();  // arrived is written
  return arrived[0] == num_blocks;
}

}  // namespace quatrain::cuda
