// Exact attention over a cache of f16: attention.cu says what it is.

#include "kernels/cuda/attention_kernel.cuh"

namespace quatrain::cuda {

QUATRAIN_ATTEND_TYPE(CacheF16)

}  // namespace quatrain::cuda
