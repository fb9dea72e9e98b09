#pragma once

#include <cstdint>

#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/kv_store.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

// Copies one tile's K or V from the pages of the cache to shared memory, by the
// row_warps warps that will read it. Keys that no row sees are zeros: their
// blocks may be gone.
namespace quatrain::cuda {

template <typename Cache, int kDims>
class TileLoader {
 public:
  __device__ __forceinline__ TileLoader(const AttendArguments& args,
                                        const Piece& piece,
                                        const AttendBuffers& buffers)
      : args_(args),
        piece_(piece),
        table_(args.step.block_tables +
               static_cast<int64_t>(piece.entry.sequence) *
                   args.step.block_stride),
        tile_warp_(static_cast<int>(threadIdx.x / 32) / args.rows.row_warps),
        row_warp_(static_cast<int>(threadIdx.x / 32) % args.rows.row_warps),
        keys_(buffers.keys + tile_warp_ * kAttendTile * args.layout.key_stride),
        values_(buffers.values +
                tile_warp_ * kAttendTile * args.layout.row_bytes) {}

  __device__ __forceinline__ int tile_warp() const { return tile_warp_; }
  __device__ __forceinline__ int row_warp() const { return row_warp_; }
  __device__ __forceinline__ const unsigned char* keys() const { return keys_; }
  __device__ __forceinline__ const unsigned char* values() const {
    return values_;
  }
  // Of this lane's key.
  __device__ __forceinline__ float key_scale() const { return key_scale_; }
  __device__ __forceinline__ float value_scale() const { return value_scale_; }

  // The next calls are about this warp's tile of `round`, if it has one. Asks
  // for the page of this lane's key; K can be loaded some time later.
  __device__ __forceinline__ void Find(const Round& round) {
    const int tile = round.tile + tile_warp_;
    has_tile_ = round.IsIn(piece_) && tile < round.end_tile;
    own_ = has_tile_ && piece_.own >= 0 && piece_.own / kAttendTile == tile
               ? piece_.own % kAttendTile
               : -1;
    const int key = tile * kAttendTile + static_cast<int>(threadIdx.x % 32);
    has_key_ = has_tile_ && key >= piece_.begin && key < piece_.end &&
               key != piece_.own;
    if (!has_key_) return;
    const int page = key / args_.kv.block_size;
    offset_ = key - page * args_.kv.block_size;
    block_ = table_[page];
  }

  // Issues the copies of K.
  __device__ __forceinline__ void LoadKeys() {
    row_ = has_key_ ? args_.kv.KeyRow(block_, offset_, piece_.kv_head) : kNoRow;
    if (has_tile_) {
      Load(keys_, args_.layout.key_stride, 0, key_scale_);
      if (own_ >= 0)
        StoreOwn(args_.num_q_heads + piece_.kv_head, true, 0,
                 keys_ + own_ * args_.layout.key_stride, key_scale_);
    }
    ptx::cp_async_commit();
  }

  // And of V, after LoadKeys().
  __device__ __forceinline__ void LoadValues() {
    if (has_tile_) {
      Load(values_, args_.layout.row_bytes, args_.kv.value_rows(),
           value_scale_);
      if (own_ >= 0)
        StoreOwn(args_.num_q_heads + args_.kv.num_kv_heads + piece_.kv_head,
                 false, args_.kv.value_rows(),
                 values_ + own_ * args_.layout.row_bytes, value_scale_);
    }
    ptx::cp_async_commit();
  }

 private:
  static constexpr int64_t kNoRow = -1;
  // As many lanes copy a key as its longest row has chunks.
  static constexpr int kMaxChunks = 32 * kDims * Cache::kBytes / 16;
  static constexpr int kLanes = kMaxChunks < 32 ? kMaxChunks : 32;
  static constexpr int kKeys = 32 / kLanes;

  __device__ __forceinline__ void Load(unsigned char* to, int stride,
                                       int64_t more_rows, float& scale) {
    const int row_bytes = args_.layout.row_bytes;
    const int64_t mine = row_ < 0 ? kNoRow : (row_ + more_rows) * row_bytes;
    if constexpr (Cache::kScaled)
      scale = row_ < 0 ? 0.0f : args_.kv.scales[row_ + more_rows];
    const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll 4
    for (int first = row_warp_ * kKeys; first < kAttendTile;
         first += args_.rows.row_warps * kKeys) {
      const int key = first + lane / kLanes;
      const int64_t from = __shfl_sync(~0u, mine, key);
      if (key == own_) continue;  // StoreOwn() writes it
      const unsigned char* source = args_.kv.data + (from < 0 ? 0 : from);
      for (int at = lane % kLanes * 16; at < row_bytes; at += kLanes * 16)
        ptx::cp_async16(to + key * stride + at, source + (from < 0 ? 0 : at),
                        from < 0 ? 0 : 16);
    }
  }

  // The key that this launch stores, from qkv. Every warp of the tile learns
  // its scale, one writes it.
  __device__ __forceinline__ void StoreOwn(int head, bool rotates,
                                           int64_t more_rows, unsigned char* to,
                                           float& scale) {
    const int token = piece_.entry.first_token;
    const int64_t slot = args_.step.slot_mapping[token];
    const bool writes = piece_.writes && row_warp_ == 0 && slot >= 0;
    const int64_t row =
        writes ? args_.kv.KeyRowOfSlot(slot, piece_.kv_head) + more_rows
               : kNoRow;
    const float own_scale =
        StoreHead<Cache>(args_.Head(token, head, rotates), args_.head_dim,
                         args_.kv, row, row_warp_ == 0 ? to : nullptr);
    if (static_cast<int>(threadIdx.x % 32) == own_) scale = own_scale;
  }

  const AttendArguments& args_;
  const Piece& piece_;
  const int32_t* const table_;
  const int tile_warp_;
  const int row_warp_;
  unsigned char* const keys_;
  unsigned char* const values_;
  bool has_tile_ = false;
  // Of this lane's key.
  bool has_key_ = false;
  int32_t block_ = 0;
  int offset_ = 0;
  int64_t row_ = kNoRow;
  int own_ = -1;  // which key of the tile StoreOwn() writes
  float key_scale_ = 1.0f;
  float value_scale_ = 1.0f;
};

}  // namespace quatrain::cuda
