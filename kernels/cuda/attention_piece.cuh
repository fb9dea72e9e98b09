#pragma once

#include <cstdint>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/kv_store.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

// What a block of attention is told, and the piece of work it is at.
namespace quatrain::cuda {

struct AttendArguments {
  QuatrainStep step;
  const float* qkv;
  int64_t qkv_stride;
  const int32_t* marks;
  const float2* rope;
  int num_freqs;
  int num_q_heads;
  int head_dim;
  int window;
  int stores;
  float scale;
  CacheView kv;
  const QuatrainHeadUse* heads;
  float* out;
  int64_t out_stride;

  AttendRows rows;
  int tile_warps;
  AttendShared layout;
  const int32_t* num_entries;
  const WorkEntry* entries;
  int32_t* counters;
  float* slots;
  int64_t slot_floats;
  int pieces;  // of an entry

  __device__ __forceinline__ bool IsMarked(int token) const {
    return marks != nullptr && marks[token] != 0;
  }
  // Head `head` of the token's q, then k, then v.
  __device__ __forceinline__ HeadVector Head(int token, int head,
                                             bool rotates) const {
    return {qkv + token * qkv_stride + static_cast<int64_t>(head) * head_dim,
            rope + static_cast<int64_t>(token) * num_freqs,
            rotates ? num_freqs : 0, IsMarked(token)};
  }
};

// The block's dynamic shared memory: AttendShared.
struct AttendBuffers {
  unsigned char* keys;
  unsigned char* values;
  float* partials;
  float* tile_m;  // sums
  float* tile_l;
  float2* weights;
  float* queries;
  float* scores;
  float* segment;
  float* total;
  int2* ranges;
  int* flag;
};

template <typename T>
__device__ __forceinline__ T* Carve(unsigned char* memory,
                                    const AttendShared::Buffer& buffer) {
  simt::carve(memory + buffer.offset, buffer.bytes);
  return reinterpret_cast<T*>(memory + buffer.offset);
}

__device__ __forceinline__ AttendBuffers Carve(unsigned char* memory,
                                               const AttendArguments& args) {
  const AttendShared& layout = args.layout;
  float* const sums = Carve<float>(memory, layout.sums);
  return {Carve<unsigned char>(memory, layout.keys),
          Carve<unsigned char>(memory, layout.values),
          Carve<float>(memory, layout.partials),
          sums,
          sums + args.tile_warps * args.rows.total,
          Carve<float2>(memory, layout.weights),
          Carve<float>(memory, layout.queries),
          Carve<float>(memory, layout.scores),
          Carve<float>(memory, layout.segment),
          Carve<float>(memory, layout.total),
          Carve<int2>(memory, layout.ranges),
          Carve<int>(memory, layout.flag)};
}

// A barrier of the warps that share a tile.
__device__ __forceinline__ void SyncTile(const AttendArguments& args,
                                         int tile_warp) {
  __syncwarp();  // the barrier wants whole warps
  if (args.rows.row_warps > 1)
    ptx::named_barrier_sync(1 + tile_warp, args.rows.row_warps * 32);
}

// Some query heads of one KV head and some tokens of one sequence; row = token
// * heads + head.
struct Piece {
  WorkEntry entry;
  int kv_head;
  int first_head;
  int heads;
  int num_rows;    // 0: nothing to do
  int position;    // of the first token
  int begin, end;  // the keys that some row sees
  int own;         // the key that this launch stores, else -1
  bool writes;     // it, to the cache
  int64_t state;   // index of its slot and, with split 0, of its counter

  // The keys of a row's query.
  __device__ __forceinline__ int2 Range(int row, int window) const {
    const int past = position + row / heads + 1;
    return make_int2(window > 0 ? max(0, past - window) : 0, past);
  }
};

__device__ inline Piece PieceAt(const AttendArguments& args, int index) {
  Piece piece;
  const int part = index % args.pieces;
  piece.entry = args.entries[index / args.pieces];
  const QuatrainHeadUse use = args.heads[part / args.rows.head_parts];
  const int skipped = part % args.rows.head_parts * args.rows.heads;
  piece.kv_head = use.kv_head;
  piece.first_head = use.first_q_head + skipped;
  piece.heads = min(use.count - skipped, args.rows.heads);
  piece.num_rows = max(piece.heads, 0) * piece.entry.num_tokens;
  piece.position = args.step.positions[piece.entry.first_token];
  piece.end = piece.position + piece.entry.num_tokens;
  piece.begin = args.window > 0 ? max(0, piece.position + 1 - args.window) : 0;
  piece.own = args.stores ? piece.position : -1;
  piece.writes = args.stores && skipped == 0;
  piece.state = static_cast<int64_t>(piece.entry.slot) * args.pieces + part;
  return piece;
}

// The tiles that the block has in hand, [tile, tile + tile_warps) as far as
// they lie before end_tile, all of one segment.
struct Round {
  int segment;
  int tile;
  int end_tile;

  __device__ __forceinline__ void SetSegment(const Piece& piece, int s) {
    segment = s;
    tile = max(s * kTilesPerSegment, piece.begin / kAttendTile);
    end_tile = min((s + 1) * kTilesPerSegment,
                   (piece.end + kAttendTile - 1) / kAttendTile);
  }
  __device__ __forceinline__ bool IsIn(const Piece& piece) const {
    return segment < piece.entry.end_segment;
  }
  __device__ __forceinline__ Round Next(const Piece& piece,
                                        int tile_warps) const {
    Round next = *this;
    next.tile += tile_warps;
    if (next.tile >= end_tile) next.SetSegment(piece, segment + 1);
    return next;
  }
};

// The rotated queries, zeros past the last row, and what each row sees. A row
// past the last sees what the last does, unless its whole warp has none.
__device__ inline void LoadQueries(const AttendArguments& args,
                                   const Piece& piece,
                                   const AttendBuffers& buffers) {
  const int total = args.rows.total;
  for (int row = threadIdx.x / 32; row < total; row += blockDim.x / 32) {
    const bool is_real = row < piece.num_rows;
    const int token =
        piece.entry.first_token + (is_real ? row / piece.heads : 0);
    const HeadVector head = args.Head(
        token, piece.first_head + (is_real ? row % piece.heads : 0), true);
    for (int d = threadIdx.x % 32; d < args.head_dim; d += 32)
      buffers.queries[row * args.head_dim + d] = is_real ? head[d] : 0.0f;
  }
  for (int row = threadIdx.x; row < total; row += blockDim.x) {
    const bool is_idle =
        row / args.rows.rows * args.rows.rows >= piece.num_rows;
    buffers.ranges[row] =
        is_idle ? make_int2(0, 0)
                : piece.Range(min(row, piece.num_rows - 1), args.window);
  }
}

}  // namespace quatrain::cuda
