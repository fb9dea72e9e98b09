#pragma once

#include <cstdint>

#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/kv_store.cuh"
#include "kernels/cuda/simt.h"

// Where the keys of a tile come from: the pages of the cache, and qkv for the
// one that this launch stores.
namespace quatrain::cuda {

// One key of a tile per lane.
class KeyFinder {
 public:
  static constexpr int64_t kNoRow = -1;

  __device__ __forceinline__ KeyFinder(const AttendArguments& args,
                                       const Piece& piece)
      : args_(args),
        piece_(piece),
        table_(args.step.block_tables +
               static_cast<int64_t>(piece.entry.sequence) *
                   args.step.block_stride) {}

  // The rest is about this tile, if there is one. Asks for the page of this
  // lane's key; Row() can wait.
  __device__ __forceinline__ void Find(int tile, bool has_tile) {
    has_tile_ = has_tile;
    own_ = has_tile && piece_.own >= 0 && piece_.own / kAttendTile == tile
               ? piece_.own % kAttendTile
               : -1;
    const int key = tile * kAttendTile + static_cast<int>(threadIdx.x % 32);
    has_key_ = has_tile && key >= piece_.begin && key < piece_.end &&
               key != piece_.own;
    if (!has_key_) return;
    const int page = key / args_.kv.block_size;
    offset_ = key - page * args_.kv.block_size;
    block_ = table_[page];
  }

  __device__ __forceinline__ bool has_tile() const { return has_tile_; }
  // Which key of the tile this launch stores; -1: none.
  __device__ __forceinline__ int own() const { return own_; }
  // Of this lane's K; kNoRow: no row of the piece sees it, or it is own().
  __device__ __forceinline__ int64_t Row() const {
    return has_key_ ? args_.kv.KeyRow(block_, offset_, piece_.kv_head) : kNoRow;
  }

 private:
  const AttendArguments& args_;
  const Piece& piece_;
  const int32_t* const table_;
  bool has_tile_ = false;
  int own_ = -1;
  // Of this lane's key.
  bool has_key_ = false;
  int32_t block_ = 0;
  int offset_ = 0;
};

// The K or V that this launch stores, by one warp, from qkv to `to`, unless
// that is null, and with `writes` to the cache. Returns its scale.
template <typename Cache>
__device__ __forceinline__ float StoreOwn(const AttendArguments& args,
                                          const Piece& piece, bool is_value,
                                          bool writes, unsigned char* to) {
  const int token = piece.entry.first_token;
  const int64_t slot = args.step.slot_mapping[token];
  const int head =
      args.num_q_heads + piece.kv_head + (is_value ? args.kv.num_kv_heads : 0);
  const int64_t row = writes && slot >= 0
                          ? args.kv.KeyRowOfSlot(slot, piece.kv_head) +
                                (is_value ? args.kv.value_rows() : 0)
                          : KeyFinder::kNoRow;
  return StoreHead<Cache>(args.Head(token, head, !is_value), args.head_dim,
                          args.kv, row, to);
}

}  // namespace quatrain::cuda
