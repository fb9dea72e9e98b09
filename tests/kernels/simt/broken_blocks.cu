#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"
#include "tests/kernels/simt/broken.h"

namespace broken {
namespace {

using simt::Fault;

// out[0] is in[0] before.
__global__ void TwoBlocksAddWithoutAtomic(const int* in, int* out) {
  if (threadIdx.x == 0) out[0] = in[threadIdx.x ^ 32] + 1;
}

__global__ void TwoBlocksReadAndWrite(const int* in, int* out) {
  const int i = threadIdx.x;
  if (blockIdx.x == 0) out[i] = in[i ^ 32] + 1;
  if (blockIdx.x == 1 && out[i] == 12345) out[i] = 0;
}

// The sum of in, by the block that finishes last; partials in out[1..].
template <bool kFence>
__global__ void LastBlock(const int* in, int* out, unsigned* count) {
  const int i = blockIdx.x * 64 + threadIdx.x;
  out[i] = in[i ^ 32] + 1;
  __syncthreads();
  if (threadIdx.x != 0) return;
  if (kFence) __threadfence();
  if (atomicAdd(count, 1) + 1 != gridDim.x) return;
  if (kFence) __threadfence();
  int total = 0;
  for (unsigned k = 0; k < gridDim.x * 64; ++k) total += out[k];
  if (total == 12345) out[0] = 0;
}

__global__ void LockNeverReleased(const int* in, int* out, unsigned* lock) {
  if (threadIdx.x == 0)
    while (atomicCAS(lock, 0u, 1u) != 0) simt::yield();
  const int i = blockIdx.x * 64 + threadIdx.x;
  out[i] = in[i ^ 32] + 1;
}

__global__ void LockWithoutFence(const int* in, int* out, unsigned* lock) {
  if (threadIdx.x == 0) {
    while (atomicCAS(lock, 0u, 1u) != 0) simt::yield();
    out[0] = in[32] + 1;
    atomicExch(lock, 0u);
  }
}

__global__ void FlagWithoutAcquire(const int* in, int* out, unsigned* flag) {
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    out[0] = in[32] + 1;
    ptx::store_release(flag, 1);
  } else {
    if (out[0] == 12345) out[1] = 0;
  }
}

template <void (*kKernel)(const int*, int*)>
void Launch(const int* in, int* out, simt::Stream stream) {
  simt::launch(kKernel, dim3(2), dim3(64), 0, stream, in, out);
}

template <void (*kKernel)(const int*, int*, unsigned*), int kBlocks>
void LaunchWithWord(const int* in, int* out, simt::Stream stream) {
  auto* word = static_cast<unsigned*>(simt::device_malloc(sizeof(unsigned)));
  simt::memset_async(word, 0, sizeof(unsigned), stream);
  simt::launch(kKernel, dim3(kBlocks), dim3(64), 0, stream, in, out, word);
  simt::device_free(word);
}

}  // namespace

const std::vector<Case>& BlockCases() {
  static const std::vector<Case> cases = {
      {"TwoBlocksAddWithoutAtomic",
       Launch<TwoBlocksAddWithoutAtomic>,
       {Fault::kBlockCollision},
       Plain::kNothing},
      {"TwoBlocksReadAndWrite",
       Launch<TwoBlocksReadAndWrite>,
       {Fault::kBlockCollision},
       Plain::kNothing},
      {"LastBlockWithoutFence",
       LaunchWithWord<LastBlock<false>, 2>,
       {Fault::kBlockCollision},
       Plain::kNothing},
      {"LockNeverReleased",
       LaunchWithWord<LockNeverReleased, 2>,
       {Fault::kBlockDeadlock},
       Plain::kFault},
      {"LockWithoutFence",
       LaunchWithWord<LockWithoutFence, 2>,
       {Fault::kBlockCollision},
       Plain::kNothing},
      {"FlagWithoutAcquire",
       LaunchWithWord<FlagWithoutAcquire, 2>,
       {Fault::kBlockCollision},
       Plain::kNothing},
      {"LastBlockWithFence",
       LaunchWithWord<LastBlock<true>, 2>,
       {Fault::kNone},
       Plain::kNothing},
  };
  return cases;
}

}  // namespace broken
