#pragma once

#include <cstdint>

#include "kernels/cuda/sample_chosen.cuh"
#include "kernels/cuda/sample_key.cuh"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/sample_stages.h"
#include "kernels/cuda/simt.h"

// How the last block of a row's scan merges its tiles.
namespace quatrain::cuda {

// One row's place for everything per tile.
struct Tiles {
  Key* best;
  Key* raw_best;
  float* raw_lse;
  float* lse;
};

__device__ __forceinline__ Tiles TilesOf(const ScanOutput& output, int row,
                                         const RowScratch& scratch) {
  if (output.parts == nullptr)
    return {scratch.tile_best(), scratch.raw_tile_best(), scratch.raw_lse(),
            scratch.lse()};
  return {scratch.tile_best(), scratch.raw_tile_best(),
          output.raw_lse + row * output.tile_stride,
          output.lse + row * output.tile_stride};
}

__device__ __forceinline__ Key BlockLargest(const Key* keys, int size) {
  Key best = kNoKey;
  for (int i = threadIdx.x; i < size; i += kStreamThreads)
    best = MaxKey(best, keys[i]);
  return BlockMax<kStreamThreads>(best);
}

// Of log-sum-exps. The whole warp calls it.
__device__ __forceinline__ float Merge(const float* values, int size) {
  float max = __uint_as_float(0xff800000u);
  for (int i = threadIdx.x % 32; i < size; i += 32)
    max = values[i] > max ? values[i] : max;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(~0u, max, step);
    max = other > max ? other : max;
  }
  return LseOf(max, AddTerms(0.0, max, size, [=](int i) { return values[i]; }));
}

// What is left to do for a row that is finite.
__device__ __forceinline__ int32_t StagesOf(const QuatrainSampleRow& row) {
  int32_t stages = 0;
  const bool filtered = Draws(row) && IsFiltered(row);
  if (filtered) stages |= kSelects | kDraws;
  if (row.top_logprobs > 0) stages |= kTops;
  // Nothing comes before the largest raw logit.
  const bool is_first =
      Draws(row) && row.temperature == 0.0f && !IsTransformed(row);
  if (WantsLogprobs(row) && !is_first) stages |= kCounts;
  return stages;
}

__device__ __forceinline__ void SetResult(const QuatrainSampleInput& in,
                                          int row_index, const RowState& state,
                                          QuatrainSampled& out) {
  const QuatrainSampleRow& row = in.rows[row_index];
  out.token_id = -1;
  out.not_finite = 0;
  out.logprob = 0.0f;
  out.rank = 0;
  out.num_top = 0;
  if ((state.stages & kDraws) != 0) return;
  SetChosen(in, row_index, Draws(row) ? IndexOf(state.best) : row.target,
            state.raw_lse, out);
}

__device__ __forceinline__ void SetPart(const QuatrainSampleInput& in,
                                        int row_index, const RowState& state,
                                        const ScanOutput& output) {
  const QuatrainSampleRow& row = in.rows[row_index];
  const int target = row.target - in.first_id;
  const bool mine =
      row.kind == kQuatrainScoreRow && target >= 0 && target < in.num_ids;
  const bool draws_here = Draws(row) && !IsFiltered(row) && in.num_drawable > 0;
  output.parts[row_index] = {0, draws_here ? 1 : 0, 0,
                             mine ? RawLogits(in, row_index)[target] : 0.0f};
  if (draws_here)
    output
        .candidates[static_cast<int64_t>(row_index) * kQuatrainMaxCandidates] =
        CandidateOf(in, row_index, IndexOf(state.best));
}

__device__ __forceinline__ void SetUnused(const QuatrainSampleInput& in,
                                          int row_index,
                                          const ScanOutput& output,
                                          RowState& state) {
  state.stages = 0;
  if (in.rows[row_index].kind == kQuatrainSkipRow) return;
  if (output.out != nullptr)
    SetNotFinite(output.out[row_index]);
  else
    output.parts[row_index] = {1, 0, 0, 0.0f};
}

// By the row's last block.
__device__ __forceinline__ void Finish(const QuatrainSampleInput& in,
                                       int row_index, const Tiles& tiles,
                                       const ScanOutput& output,
                                       RowState& state) {
  SIMT_SHARED(float, merged, [2]);
  const QuatrainSampleRow& row = in.rows[row_index];
  const int num_tiles = NumTiles(in.num_ids);
  const Key best = BlockLargest(tiles.best, num_tiles);
  if (best == kNotFiniteKey) {
    if (threadIdx.x == 0) SetUnused(in, row_index, output, state);
    return;
  }
  const Key raw_best =
      row.top_logprobs > 0 ? BlockLargest(tiles.raw_best, num_tiles) : kNoKey;
  const bool whole = output.out != nullptr;  // else others' tiles are missing
  const int warp = threadIdx.x / 32;
  float lse = 0.0f;
  if (warp == 0 && whole && WantsLogprobs(row))
    lse = Merge(tiles.raw_lse, num_tiles);
  if (warp == 1 && whole && WantsLse(row))
    lse = Merge(tiles.lse, NumTiles(in.num_drawable));
  if (warp < 2 && threadIdx.x % 32 == 0) merged[warp] = lse;
  __syncthreads();  // merged is written
  if (threadIdx.x != 0) return;
  state.stages = StagesOf(row);
  state.raw_lse = merged[0];
  state.lse = merged[1];
  state.best = best;
  state.raw_best = raw_best;
  if (whole)
    SetResult(in, row_index, state, output.out[row_index]);
  else
    SetPart(in, row_index, state, output);
}

}  // namespace quatrain::cuda
