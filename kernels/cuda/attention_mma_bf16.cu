// Attention of the default mode over a cache of bf16: attention_mma.cu says
// what it is.

#include "kernels/cuda/attention_mma_kernel.cuh"

namespace quatrain::cuda {

QUATRAIN_ATTEND_MMA_TYPE(CacheBF16)

}  // namespace quatrain::cuda
