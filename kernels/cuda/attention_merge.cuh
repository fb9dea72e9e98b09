#pragma once

#include <cstdint>

#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/attention_state.cuh"
#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/simt.h"

// Merging states in the order of docs/numerics.md: tiles into their segment,
// segments into the total, parts of a split row into its output. Thread i of
// the block owns the groups of four dims i, i + threads, .. of [rows][head_dim]
// and, if there is one, l and m of row i.
namespace quatrain::cuda {

// A state of all rows in shared or device memory: o [rows][head_dim], m [rows],
// l [rows].
struct States {
  float* o;
  float* m;
  float* l;

  __device__ __forceinline__ States(float* data, const AttendArguments& args)
      : o(data),
        m(data + args.rows.total * args.head_dim),
        l(m + args.rows.total) {}
  __device__ __forceinline__ States(float* all_o, float* all_m, float* all_l)
      : o(all_o), m(all_m), l(all_l) {}

  __device__ __forceinline__ float4& Quad(int i) const {
    return reinterpret_cast<float4*>(o)[i];
  }
};

// The weights with which each tile in hand enters the segment. Before it, all
// sums are written; after it and a barrier, MergeTiles().
__device__ inline void WeighTiles(const AttendArguments& args,
                                  const Piece& piece,
                                  const AttendBuffers& buffers) {
  const States segment(buffers.segment, args);
  const int stride = args.rows.total;
  for (int i = threadIdx.x; i < args.tile_warps * stride; i += blockDim.x) {
    const int row = i % stride;
    if (row >= piece.num_rows) continue;
    float m = segment.m[row];
    for (int earlier = row; earlier < i; earlier += stride)
      m = MergedMax(m, buffers.tile_m[earlier]);
    const MergeWeights w = WeightsOf(m, buffers.tile_m[i]);
    buffers.weights[i] = make_float2(w.a, w.b);
  }
}

// Merges the tiles in hand, ascending.
__device__ inline void MergeTiles(const AttendArguments& args,
                                  const Piece& piece,
                                  const AttendBuffers& buffers) {
  const States segment(buffers.segment, args);
  const int stride = args.rows.total;
  const int quads = args.head_dim / 4;
  for (int i = threadIdx.x; i < piece.num_rows * quads; i += blockDim.x) {
    const int row = i / quads;
    float4 state = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    bool is_loaded = false;
    for (int t = 0; t < args.tile_warps; ++t) {
      const float2 both = buffers.weights[t * stride + row];
      const MergeWeights w{both.x, both.y};
      if (!w.takes_later()) continue;
      if (!is_loaded && !(w.a < 0.0f)) state = segment.Quad(i);
      is_loaded = true;
      const float4 later = reinterpret_cast<const float4*>(
          buffers.partials)[t * stride * quads + i];
      state = Merged(w, state, later);
    }
    if (is_loaded) segment.Quad(i) = state;
  }
  for (int row = threadIdx.x; row < piece.num_rows; row += blockDim.x) {
    float m = segment.m[row];
    float l = HasKeys(m) ? segment.l[row] : 0.0f;
    for (int t = 0; t < args.tile_warps; ++t) {
      const float2 both = buffers.weights[t * stride + row];
      const MergeWeights w{both.x, both.y};
      if (!w.takes_later()) continue;
      l = Merged(w, l, buffers.tile_l[t * stride + row]);
      m = MergedMax(m, buffers.tile_m[t * stride + row]);
    }
    segment.m[row] = m;
    if (HasKeys(m)) segment.l[row] = l;
  }
}

// Merges the segment into the total and empties it. Begins after a barrier;
// what it leaves is seen after one.
__device__ inline void MergeSegment(const AttendArguments& args,
                                    const Piece& piece,
                                    const AttendBuffers& buffers) {
  const States segment(buffers.segment, args);
  const States total(buffers.total, args);
  const int quads = args.head_dim / 4;
  for (int i = threadIdx.x; i < piece.num_rows * quads; i += blockDim.x) {
    const int row = i / quads;
    const float m = total.m[row];
    const MergeWeights w = WeightsOf(m, segment.m[row]);
    if (!w.takes_later()) continue;
    const float4 state =
        HasKeys(m) ? total.Quad(i) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    const float4 later = segment.Quad(i);
    total.Quad(i) = Merged(w, state, later);
  }
  __syncthreads();  // all have read m before it changes
  for (int row = threadIdx.x; row < piece.num_rows; row += blockDim.x) {
    const float m = total.m[row];
    const MergeWeights w = WeightsOf(m, segment.m[row]);
    if (w.takes_later())
      total.l[row] =
          Merged(w, HasKeys(m) ? total.l[row] : 0.0f, segment.l[row]);
    total.m[row] = MergedMax(m, segment.m[row]);
    segment.m[row] = NoKeys();
  }
}

__device__ __forceinline__ float Divided(float o, float l) {
  const float x = __fdiv_rn(o, l);
  return x == x ? x : NotANumber();
}

__device__ __forceinline__ void StoreOutput(const AttendArguments& args,
                                            const Piece& piece, int row, int d,
                                            const float4& o, float l) {
  const int token = piece.entry.first_token + row / piece.heads;
  const int head = piece.first_head + row % piece.heads;
  float* const to = args.out + token * args.out_stride +
                    static_cast<int64_t>(head) * args.head_dim + d;
  *reinterpret_cast<float4*>(to) = make_float4(
      Divided(o.x, l), Divided(o.y, l), Divided(o.z, l), Divided(o.w, l));
}

// The outputs of rows that this block alone has computed.
__device__ inline void StoreTotal(const AttendArguments& args,
                                  const Piece& piece,
                                  const AttendBuffers& buffers) {
  const States total(buffers.total, args);
  const int quads = args.head_dim / 4;
  for (int i = threadIdx.x; i < piece.num_rows * quads; i += blockDim.x) {
    const int row = i / quads;
    const float4 o = total.Quad(i);
    StoreOutput(args, piece, row, i % quads * 4, o, total.l[row]);
  }
}

// Leaves the total in the piece's slot. True for the last of the rows' splits,
// which then sees the others.
__device__ inline bool StoreSplit(const AttendArguments& args,
                                  const Piece& piece,
                                  const AttendBuffers& buffers) {
  const States total(buffers.total, args);
  const States slot(args.slots + piece.state * args.slot_floats, args);
  const int quads = args.head_dim / 4;
  for (int i = threadIdx.x; i < piece.num_rows * quads; i += blockDim.x)
    if (HasKeys(total.m[i / quads])) slot.Quad(i) = total.Quad(i);
  for (int row = threadIdx.x; row < piece.num_rows; row += blockDim.x) {
    slot.m[row] = total.m[row];
    if (HasKeys(total.m[row])) slot.l[row] = total.l[row];
  }
  __threadfence();  // the state before the count
  __syncthreads();  // everybody's
  if (threadIdx.x == 0) {
    int32_t* const counter =
        args.counters + piece.state -
        static_cast<int64_t>(piece.entry.split) * args.pieces;
    *buffers.flag = atomicAdd(counter, 1) == piece.entry.num_splits - 1;
    // The next launch counts again.
    if (*buffers.flag) atomicExch(counter, 0);
  }
  __syncthreads();  // the flag
  if (!*buffers.flag) return false;
  __threadfence();  // the count before the others' states
  return true;
}

// Merges the splits, ascending, into the output.
__device__ inline void MergeSplits(const AttendArguments& args,
                                   const Piece& piece) {
  const int64_t step = args.pieces * args.slot_floats;
  float* const first =
      args.slots + piece.state * args.slot_floats - piece.entry.split * step;
  const int quads = args.head_dim / 4;
  for (int i = threadIdx.x; i < piece.num_rows * quads; i += blockDim.x) {
    const int row = i / quads;
    float m = NoKeys();
    float l = 0.0f;
    float4 o = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int s = 0; s < piece.entry.num_splits; ++s) {
      const States later(first + s * step, args);
      const float later_m = later.m[row];
      const MergeWeights w = WeightsOf(m, later_m);
      if (!w.takes_later()) continue;
      l = Merged(w, l, later.l[row]);
      o = Merged(w, o, later.Quad(i));
      m = MergedMax(m, later_m);
    }
    StoreOutput(args, piece, row, i % quads * 4, o, l);
  }
}

// A piece's end, once its total is whole.
__device__ __forceinline__ void StorePiece(const AttendArguments& args,
                                           const Piece& piece,
                                           const AttendBuffers& buffers) {
  if (piece.entry.num_splits == 1)
    StoreTotal(args, piece, buffers);
  else if (StoreSplit(args, piece, buffers))
    MergeSplits(args, piece);
}

}  // namespace quatrain::cuda
