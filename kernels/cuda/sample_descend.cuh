#pragma once

#include <cstdint>

#include "kernels/cuda/sample_bins.cuh"
#include "kernels/cuda/sample_key.cuh"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/simt.h"

// Exact selection by one block of kSelectThreads: the threshold of a prefix of
// a row's order, without sorting the row.
namespace quatrain::cuda {

struct Range {
  Key low, high;  // both belong to it
};

// Where keys come from: all of a row.
struct RowKeys {
  const float* logits;
  float temperature;  // 1: the logits as they are
  int size;
  const Key* tile_best;  // saves reading tiles that are below a range

  // Calls f(key) for all keys of `range`, from all threads of the block.
  template <typename F>
  __device__ __forceinline__ void ForEach(const Range& range, F f) const {
    for (int tile = threadIdx.x / 32; tile < NumTiles(size);
         tile += kSelectThreads / 32) {
      if (tile_best[tile] < range.low) continue;
      float values[kLaneValues];
      LoadTile(logits, tile * kVocabTile, size, values);
#pragma unroll
      for (int j = 0; j < kLaneValues; ++j) {
        const int index = tile * kVocabTile + IndexInTile(j);
        const Key key = KeyOf(__fdiv_rn(values[j], temperature), index);
        if (index < size && key >= range.low && key <= range.high) f(key);
      }
    }
  }
};

// The largest key of each tile alone.
struct TileKeys {
  const Key* best;
  int size;

  template <typename F>
  __device__ __forceinline__ void ForEach(const Range& range, F f) const {
    for (int i = threadIdx.x; i < size; i += kSelectThreads)
      if (best[i] >= range.low && best[i] <= range.high) f(best[i]);
  }
};

// The least shift with which `width` falls into a bin.
__device__ __forceinline__ int ShiftOf(Key width) {
  constexpr int kBinBits = 10;
  static_assert(kBins == 1 << kBinBits, "");
  const int bits = 64 - __clzll(static_cast<long long>(width | 1));
  return bits > kBinBits ? bits - kBinBits : 0;
}

// A threshold t in `range` such that the keys from t up, with `above` what lies
// above the range, are the shortest prefix that reaches the goal; range.low if
// all do not reach it. Each round divides the range by 1024, and a bin with one
// key ends it: two or three rounds for logits that differ, six at most.
template <typename Keys>
__device__ Key Descend(const Keys& keys, const Goal& goal, Range range,
                       Prefix above, Bins& bins) {
  for (;;) {
    const int shift = ShiftOf(range.high - range.low);
    Clear(bins);
    __syncthreads();  // the bins are 0
    keys.ForEach(range, [&](Key key) {
      Add(bins, static_cast<int>((range.high - key) >> shift), ValueOf(key),
          goal);
    });
    __syncthreads();  // the bins are complete
    const Boundary boundary = FindBoundary(bins, goal, above);
    if (boundary.bin < 0) return range.low;
    above = boundary.above;
    const Key high = range.high - (static_cast<Key>(boundary.bin) << shift);
    const Key width = (Key{1} << shift) - 1;
    range = {high - range.low > width ? high - width : range.low, high};
    const bool whole_bin =
        !goal.by_mass && above.count + boundary.count == goal.count;
    if (shift == 0 || boundary.count == 1 || whole_bin) return range.low;
  }
}

// The threshold of the first `count` < keys.size keys; `best` is the largest.
// As many tiles as are wanted hold them all: those with the largest maxima.
__device__ __forceinline__ Key ThresholdOfCount(const RowKeys& keys,
                                                uint32_t count, Key best,
                                                Bins& bins) {
  const Goal goal = CountGoal(count);
  Range range{kNoKey, best};
  const int num_tiles = NumTiles(keys.size);
  if (count <= static_cast<uint32_t>(num_tiles))
    range.low =
        Descend(TileKeys{keys.tile_best, num_tiles}, goal, range, {0, 0}, bins);
  return Descend(keys, goal, range, {0, 0}, bins);
}

constexpr int kListSize = 2048;

// Sorts list[0, size) falling; size <= kListSize. Bitonic, padded with kNoKey.
// Begins and ends with a barrier.
__device__ __forceinline__ void SortFalling(Key* list, int size) {
  int padded = 1;
  while (padded < size) padded *= 2;
  for (int i = size + static_cast<int>(threadIdx.x); i < padded;
       i += kSelectThreads)
    list[i] = kNoKey;
  __syncthreads();  // the list and its padding are written
  for (int run = 2; run <= padded; run *= 2)
    for (int step = run / 2; step > 0; step /= 2) {
      for (int i = threadIdx.x; i < padded / 2; i += kSelectThreads) {
        const int a = 2 * i - (i & (step - 1));
        const int b = a + step;
        const bool falling = (a & run) == 0;
        const Key x = list[a], y = list[b];
        if ((x < y) == falling) {
          list[a] = y;
          list[b] = x;
        }
      }
      __syncthreads();  // the next step pairs other elements
    }
}

// Writes the keys of `range`, of which there are `count` <= kListSize, to the
// list, falling. Ends with a barrier.
__device__ __forceinline__ void ListKeys(const RowKeys& keys,
                                         const Range& range, int count,
                                         Key* list) {
  SIMT_SHARED(int, filled, [1]);
  if (threadIdx.x == 0) filled[0] = 0;
  __syncthreads();  // filled is 0, and nobody reads the list any more
  keys.ForEach(range, [&](Key key) { list[atomicAdd(&filled[0], 1)] = key; });
  SortFalling(list, count);
}

// The first `count` keys of the row, falling, into the list.
__device__ __forceinline__ void ListBest(const RowKeys& keys, int count,
                                         Key best, Bins& bins, Key* list) {
  const Key low =
      count < keys.size
          ? ThresholdOfCount(keys, static_cast<uint32_t>(count), best, bins)
          : kNoKey;
  ListKeys(keys, {low, best}, count, list);
}

}  // namespace quatrain::cuda
