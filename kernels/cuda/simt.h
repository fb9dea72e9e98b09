#pragma once

// The one header, with ptx.h, through which a kernel sees CUDA. The same kernel
// source is compiled by nvcc for the GPU and, as ordinary C++, by the host
// compiler, where kernels/emu runs every CUDA thread on the CPU. Kernels keep
// to what both know: shared memory by the two macros below, launches by
// simt::launch(), instructions by ptx.h, no __CUDA_ARCH__.

#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

// SIMT_SHARED(float, part, [8]);  is  __shared__ float part[8];
#define SIMT_SHARED(T, name, ...) __shared__ T name __VA_ARGS__
// Declares a pointer to the block's dynamic shared memory, 1024-byte aligned.
#define SIMT_DYNAMIC_SHARED(name)                               \
  extern __shared__ __align__(1024) unsigned char simt_arena[]; \
  unsigned char* const name = simt_arena

namespace simt {

using Stream = cudaStream_t;

// Bytes that a layout adds after each sub-buffer of dynamic shared memory, and
// carve(), which says where one lies: both only so that the emulated device
// notices who runs over.
inline constexpr size_t kRedzone = 0;
__device__ __forceinline__ void carve(const void*, size_t) {}

// In every loop that waits for another thread by reading memory.
__device__ __forceinline__ void yield() { __nanosleep(20); }

// kernel<<<...>>>(arguments...); an error is in cudaGetLastError().
template <typename... P, typename... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block,
            size_t dynamic_shared_bytes, Stream stream, A&&... arguments) {
  kernel<<<grid, block, dynamic_shared_bytes, stream>>>(
      std::forward<A>(arguments)...);
}

// Before a kernel's launch with more than 48 KiB; 227 KiB at most. False if
// that is too much. Never takes back what an earlier launch was allowed: it may
// be a node of a graph.
template <typename... P>
bool allow_dynamic_shared(void (*kernel)(P...), size_t bytes) {
  cudaFuncAttributes now;
  if (cudaFuncGetAttributes(&now, kernel) == cudaSuccess &&
      now.maxDynamicSharedSizeBytes >= static_cast<int>(bytes))
    return true;
  return cudaFuncSetAttribute(kernel,
                              cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(bytes)) == cudaSuccess;
}

}  // namespace simt

#else

#include "kernels/emu/host.h"  // IWYU pragma: export

#endif
