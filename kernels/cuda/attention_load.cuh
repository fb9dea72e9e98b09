#pragma once

#include <cstdint>

#include "kernels/cuda/attention_page.cuh"
#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/kv_cache.cuh"
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
        finder_(args, piece),
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
    finder_.Find(tile, round.IsIn(piece_) && tile < round.end_tile);
  }

  // Issues the copies of K.
  __device__ __forceinline__ void LoadKeys() {
    row_ = finder_.Row();
    if (finder_.has_tile()) {
      Load(keys_, args_.layout.key_stride, 0, key_scale_);
      if (finder_.own() >= 0)
        Store(false, keys_ + finder_.own() * args_.layout.key_stride,
              key_scale_);
    }
    ptx::cp_async_commit();
  }

  // And of V, after LoadKeys().
  __device__ __forceinline__ void LoadValues() {
    if (finder_.has_tile()) {
      Load(values_, args_.layout.row_bytes, args_.kv.value_rows(),
           value_scale_);
      if (finder_.own() >= 0)
        Store(true, values_ + finder_.own() * args_.layout.row_bytes,
              value_scale_);
    }
    ptx::cp_async_commit();
  }

 private:
  static constexpr int64_t kNoRow = KeyFinder::kNoRow;
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
      if (key == finder_.own()) continue;  // Store() writes it
      const unsigned char* source = args_.kv.data + (from < 0 ? 0 : from);
      for (int at = lane % kLanes * 16; at < row_bytes; at += kLanes * 16)
        ptx::cp_async16(to + key * stride + at, source + (from < 0 ? 0 : at),
                        from < 0 ? 0 : 16);
    }
  }

  // The key that this launch stores. Every warp of the tile learns its scale,
  // one writes it.
  __device__ __forceinline__ void Store(bool is_value, unsigned char* to,
                                        float& scale) {
    const bool writes = row_warp_ == 0;
    const float own_scale =
        StoreOwn<Cache>(args_, piece_, is_value, writes && piece_.writes,
                        writes ? to : nullptr);
    if (static_cast<int>(threadIdx.x % 32) == finder_.own()) scale = own_scale;
  }

  const AttendArguments& args_;
  const Piece& piece_;
  KeyFinder finder_;
  const int tile_warp_;
  const int row_warp_;
  unsigned char* const keys_;
  unsigned char* const values_;
  // Of this lane's key.
  int64_t row_ = kNoRow;
  float key_scale_ = 1.0f;
  float value_scale_ = 1.0f;
};

}  // namespace quatrain::cuda
