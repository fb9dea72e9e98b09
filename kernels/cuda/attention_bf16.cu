// Exact attention over a cache of bf16: attention.cu says what it is.

#include "kernels/cuda/attention_kernel.cuh"

namespace quatrain::cuda {

QUATRAIN_ATTEND_TYPE(CacheBF16)

}  // namespace quatrain::cuda
