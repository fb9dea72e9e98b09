#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"
#include "tests/kernels/simt/broken.h"

namespace broken {
namespace {

using simt::Fault;

__global__ void BarrierMissingBeforeRead(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  s[threadIdx.x] = 0;
  __syncthreads();
  s[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = s[threadIdx.x ^ 32] + 1;
}

__global__ void BarrierMissingBeforeOverwrite(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  s[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  const int value = s[threadIdx.x ^ 32];
  s[threadIdx.x] = -1;
  out[threadIdx.x] = value + 1;
}

__global__ void SyncwarpMissing(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  s[threadIdx.x] = 0;
  __syncwarp();
  s[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = s[threadIdx.x ^ 1] + 1;
}

__global__ void BarrierInBranch(const int* in, int* out) {
  if (threadIdx.x % 32 < 16) __syncthreads();
  out[threadIdx.x] = in[threadIdx.x ^ 32] + 1;
}

__global__ void TwoBarriersInBranches(const int* in, int* out) {
  if (threadIdx.x % 32 < 16)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = in[threadIdx.x ^ 32] + 1;
}

__global__ void HalfWarpInFullShuffle(const int* in, int* out) {
  int value = in[threadIdx.x];
  if (threadIdx.x % 32 < 16) value = __shfl_xor_sync(~0u, value, 1);
  out[threadIdx.x] = value + 1;
}

__global__ void TwoShufflesInBranches(const int* in, int* out) {
  int value = in[threadIdx.x];
  if (threadIdx.x % 2 == 0)
    value = __shfl_xor_sync(~0u, value, 1);
  else
    value = __shfl_xor_sync(~0u, value, 1);
  out[threadIdx.x] = value + 1;
}

__global__ void ShuffleAndBarrier(const int* in, int* out) {
  int value = in[threadIdx.x];
  if (threadIdx.x % 32 < 16)
    value = __shfl_xor_sync(~0u, value, 1);
  else
    __syncthreads();
  out[threadIdx.x] = value + 1;
}

__global__ void MaskWithoutSelf(const int* in, int* out) {
  out[threadIdx.x] = __shfl_xor_sync(0x7FFFFFFFu, in[threadIdx.x], 1) + 1;
}

__global__ void EarlyExit(const int* in, int* out) {
  if (threadIdx.x % 32 >= 20) return;
  __syncthreads();
  out[threadIdx.x] = in[threadIdx.x ^ 32] + 1;
}

// Warp 0 makes, warp 1 takes.
template <int kArrive, int kSync, int kArriveCount>
__global__ void NamedBarrier(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  const int t = threadIdx.x % 32;
  s[threadIdx.x] = 0;
  __syncthreads();
  if (threadIdx.x < 32) {
    s[t] = in[t];
    s[t + 32] = in[t + 32];
    __threadfence_block();
    ptx::named_barrier_arrive(kArrive, kArriveCount);
  } else {
    if (kSync > 0) ptx::named_barrier_sync(kSync, 64);
    out[t] = s[t ^ 32] + 1;
    out[t + 32] = s[(t + 32) ^ 32] + 1;
  }
}

template <void (*kKernel)(const int*, int*)>
void Launch(const int* in, int* out, simt::Stream stream) {
  simt::launch(kKernel, dim3(1), dim3(64), 0, stream, in, out);
}

}  // namespace

const std::vector<Case>& BarrierCases() {
  static const std::vector<Case> cases = {
      {"BarrierMissingBeforeRead",
       Launch<BarrierMissingBeforeRead>,
       {Fault::kRace},
       Plain::kWrongValue},
      {"BarrierMissingBeforeOverwrite",
       Launch<BarrierMissingBeforeOverwrite>,
       {Fault::kRace},
       Plain::kWrongValue},
      {"SyncwarpMissing",
       Launch<SyncwarpMissing>,
       {Fault::kRace},
       Plain::kWrongValue,
       1},
      {"BarrierInBranch",
       Launch<BarrierInBranch>,
       {Fault::kExitedLane},
       Plain::kFault},
      {"TwoBarriersInBranches",
       Launch<TwoBarriersInBranches>,
       {Fault::kDivergence},
       Plain::kFault},
      {"HalfWarpInFullShuffle",
       Launch<HalfWarpInFullShuffle>,
       {Fault::kExitedLane},
       Plain::kFault},
      {"TwoShufflesInBranches",
       Launch<TwoShufflesInBranches>,
       {Fault::kDivergence},
       Plain::kFault},
      {"ShuffleAndBarrier",
       Launch<ShuffleAndBarrier>,
       {Fault::kDivergence},
       Plain::kFault},
      {"MaskWithoutSelf",
       Launch<MaskWithoutSelf>,
       {Fault::kMaskWithoutSelf},
       Plain::kFault},
      {"EarlyExit", Launch<EarlyExit>, {Fault::kExitedLane}, Plain::kFault},
      {"NamedBarrierWrong",
       Launch<NamedBarrier<1, 2, 64>>,
       {Fault::kDeadlock},
       Plain::kFault},
      {"NamedBarrierMissing",
       Launch<NamedBarrier<1, 0, 64>>,
       {Fault::kRace},
       Plain::kNothing},
      {"NamedBarrierOfTwoCounts",
       Launch<NamedBarrier<1, 1, 96>>,
       {Fault::kBarrierCount},
       Plain::kFault},
      {"NamedBarrierOfHalfWarps",
       Launch<NamedBarrier<1, 1, 48>>,
       {Fault::kBarrierCount},
       Plain::kFault},
  };
  return cases;
}

}  // namespace broken
