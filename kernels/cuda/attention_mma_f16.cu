// Attention of the default mode over a cache of f16: attention_mma.cu says what
// it is.

#include "kernels/cuda/attention_mma_kernel.cuh"

namespace quatrain::cuda {

QUATRAIN_ATTEND_MMA_TYPE(CacheF16)

}  // namespace quatrain::cuda
