// Exact attention over a cache of int8: attention.cu says what it is.

#include "kernels/cuda/attention_kernel.cuh"

namespace quatrain::cuda {

QUATRAIN_ATTEND_TYPE(CacheInt8)

}  // namespace quatrain::cuda
