#pragma once

#include <cstdint>

#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/sample_key.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/simt.h"

// Histograms over keys, largest keys first, and the bin in which a filter's
// prefix ends. Counts and masses are integers, so that no order matters.
namespace quatrain::cuda {

constexpr int kSelectThreads = 512;

// What the prefix of a row's order must reach.
struct Goal {
  bool by_mass;
  uint32_t count;  // else
  double mass;     // by_mass: top_p * 2^40
  float lse;       // by_mass: an id's mass is floor(2^40 * Exp(l - lse))
};

__device__ __forceinline__ Goal CountGoal(uint32_t count) {
  return {false, count, 0.0, 0.0f};
}
__device__ __forceinline__ Goal MassGoal(double mass, float lse) {
  return {true, 0, mass, lse};
}

// Of a prefix.
struct Prefix {
  uint32_t count;
  Key mass;
};

__device__ __forceinline__ bool Reaches(const Goal& goal,
                                        const Prefix& prefix) {
  return goal.by_mass ? __ull2double_rn(prefix.mass) >= goal.mass
                      : prefix.count >= goal.count;
}

__device__ __forceinline__ Prefix Sum(const Prefix& a, const Prefix& b) {
  return {a.count + b.count, a.mass + b.mass};
}

// A mass as two words: shared memory has no 64-bit atomic addition but a loop
// that compares and swaps.
struct Bins {
  uint32_t counts[kBins];
  uint32_t low[kBins];
  uint32_t high[kBins];

  __device__ __forceinline__ Prefix operator[](int bin) const {
    return {counts[bin], (static_cast<Key>(high[bin]) << 32) + low[bin]};
  }
  __device__ __forceinline__ void Set(int bin, const Prefix& value) {
    counts[bin] = value.count;
    low[bin] = static_cast<uint32_t>(value.mass);
    high[bin] = static_cast<uint32_t>(value.mass >> 32);
  }
};

// The block clears its bins; visible after a barrier.
__device__ __forceinline__ void Clear(Bins& bins) {
  for (int bin = threadIdx.x; bin < kBins; bin += kSelectThreads)
    bins.Set(bin, {0, 0});
}

// floor(2^40 * Exp(l - lse)); at most 2^40, as no l is above lse.
__device__ __forceinline__ Key MassOf(float l, float lse) {
  return static_cast<Key>(__double2ll_rz(
      __dmul_rn(static_cast<double>(Exp(__fsub_rn(l, lse))), 0x1p40)));
}

// Counts one key with value l. Called by single lanes.
__device__ __forceinline__ void Add(Bins& bins, int bin, float l,
                                    const Goal& goal) {
  atomicAdd(&bins.counts[bin], 1u);
  if (!goal.by_mass) return;
  const Key mass = MassOf(l, goal.lse);
  if (mass == 0) return;  // most ids of a row
  const uint32_t low = static_cast<uint32_t>(mass);
  const uint32_t before = atomicAdd(&bins.low[bin], low);
  const uint32_t high =
      static_cast<uint32_t>(mass >> 32) + (before + low < before ? 1u : 0u);
  if (high != 0) atomicAdd(&bins.high[bin], high);
}

// The first bin with which the prefix reaches the goal.
struct Boundary {
  int bin;         // -1: it never does
  uint32_t count;  // of the bin
  Prefix above;    // before it
};

__device__ __forceinline__ Prefix ShuffleUp(const Prefix& prefix, int delta) {
  return {__shfl_up_sync(~0u, prefix.count, static_cast<unsigned>(delta)),
          __shfl_up_sync(~0u, prefix.mass, static_cast<unsigned>(delta))};
}

// The calling thread's bins are kBinsPerThread neighbours. `above` is what lies
// before the first bin and does not reach the goal. The bins are complete; the
// result is every thread's; ends with a barrier.
__device__ __forceinline__ Boundary FindBoundary(const Bins& bins,
                                                 const Goal& goal,
                                                 const Prefix& above) {
  constexpr int kBinsPerThread = kBins / kSelectThreads;
  SIMT_SHARED(Prefix, warp_sums, [kSelectThreads / 32]);
  SIMT_SHARED(Boundary, found, [1]);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int first = static_cast<int>(threadIdx.x) * kBinsPerThread;

  Prefix mine{0, 0};
  for (int i = 0; i < kBinsPerThread; ++i) mine = Sum(mine, bins[first + i]);
  Prefix running = mine;  // up to and with this thread's bins, of the warp
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const Prefix other = ShuffleUp(running, step);
    if (lane >= step) running = Sum(running, other);
  }
  if (lane == 31) warp_sums[warp] = running;
  if (threadIdx.x == 0) found[0] = {-1, 0, {0, 0}};
  __syncthreads();  // warp_sums and the default are written

  Prefix before = above;
  for (int w = 0; w < warp; ++w) before = Sum(before, warp_sums[w]);
  before = Sum(before, {running.count - mine.count, running.mass - mine.mass});
  for (int i = 0; i < kBinsPerThread; ++i) {
    const Prefix bin = bins[first + i];
    const Prefix after = Sum(before, bin);
    if (Reaches(goal, after) && !Reaches(goal, before))
      found[0] = {first + i, bin.count, before};
    before = after;
  }
  __syncthreads();  // found is written, bins and warp_sums are read
  return found[0];
}

}  // namespace quatrain::cuda
