#pragma once

#include <cstdint>

#include "kernels/cuda/sample_bins.cuh"
#include "kernels/cuda/sample_descend.cuh"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/simt.h"

// The first round of a selection, over all ids of a row, by several blocks.
namespace quatrain::cuda {

constexpr int kSelectTiles = kSelectThreads / 32;
constexpr int kSelectChunk = kSelectTiles * kVocabTile;

__host__ __device__ constexpr int NumSelectChunks(int ids) {
  return (ids + kSelectChunk - 1) / kSelectChunk;
}

// The histogram over all ids has bins of 1/32 of a raw logit below the largest,
// which spreads usual logits over hundreds of bins; the last takes the rest.
// Any bin number that never falls as l falls is right.
struct Spread {
  float max;    // of l
  float scale;  // 32 * temperature

  __device__ __forceinline__ int BinOf(float l) const {
    const float distance = __fmul_rn(__fsub_rn(max, l), scale);
    return distance < kBins - 1 ? __float2int_rz(distance) : kBins - 1;
  }

  // The least order of a value whose bin is at most `bin`.
  __device__ __forceinline__ uint32_t LowestOrder(int bin) const {
    uint32_t low = kOrderOfMinusInfinity, high = OrderOf(max);
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      if (BinOf(ValueOfOrder(middle)) <= bin)
        high = middle;
      else
        low = middle + 1;
    }
    return low;
  }

  __device__ __forceinline__ Range RangeOf(int bin) const {
    const uint32_t high = bin == 0 ? OrderOf(max) : LowestOrder(bin - 1) - 1;
    return {static_cast<Key>(LowestOrder(bin)) << kIndexBits,
            (static_cast<Key>(high) << kIndexBits) | kIndexMask};
  }
};

// Adds the block's ids to the row's histogram in global memory.
__device__ __forceinline__ void AddChunk(const RowKeys& keys, int chunk,
                                         const Spread& spread, const Goal& goal,
                                         const RowScratch& scratch,
                                         Bins& bins) {
  Clear(bins);
  __syncthreads();  // the bins are 0
  const int begin =
      chunk * kSelectChunk + static_cast<int>(threadIdx.x / 32) * kVocabTile;
  float values[kLaneValues];
  LoadTile(keys.logits, begin, keys.size, values);
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) {
    const float l = __fdiv_rn(values[j], keys.temperature);
    if (begin + IndexInTile(j) < keys.size) Add(bins, spread.BinOf(l), l, goal);
  }
  __syncthreads();  // the bins are complete
  for (int bin = threadIdx.x; bin < kBins; bin += kSelectThreads) {
    const Prefix mine = bins[bin];
    if (mine.count != 0) atomicAdd(&scratch.counts()[bin], mine.count);
    if (mine.mass != 0) atomicAdd(&scratch.masses()[bin], mine.mass);
  }
}

// The threshold by the row's histogram, which is cleared for the next launch.
__device__ __forceinline__ Key DescendFromHistogram(const RowKeys& keys,
                                                    const Spread& spread,
                                                    const Goal& goal,
                                                    const RowScratch& scratch,
                                                    Bins& bins) {
  for (int bin = threadIdx.x; bin < kBins; bin += kSelectThreads) {
    bins.Set(bin, {scratch.counts()[bin], scratch.masses()[bin]});
    scratch.counts()[bin] = 0;
    scratch.masses()[bin] = 0;
  }
  __syncthreads();  // the bins are complete
  const Boundary boundary = FindBoundary(bins, goal, {0, 0});
  if (boundary.bin < 0) return kNoKey;
  return Descend(keys, goal, spread.RangeOf(boundary.bin), boundary.above,
                 bins);
}

}  // namespace quatrain::cuda
