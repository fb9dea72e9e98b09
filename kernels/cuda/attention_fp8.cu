// Exact attention over a cache of fp8: attention.cu says what it is.

#include "kernels/cuda/attention_kernel.cuh"

namespace quatrain::cuda {

QUATRAIN_ATTEND_TYPE(CacheFp8)

}  // namespace quatrain::cuda
