#pragma once

#include <cstdint>

#include "kernels/cuda/attention_mma_plan.h"
#include "kernels/cuda/attention_page.cuh"
#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {

// A tile in shared memory. Scales, of int8: f32 [32] of K, then [32] of V.
struct MmaTile {
  const unsigned char* keys;
  const unsigned char* values;
  const float* scales;
};

// Copies tiles from the pages of the cache to a ring of kMmaStages buffers, by
// the row warps that will read them. Keys that no row sees are zeros: their
// blocks may be gone.
template <typename Cache, int kDim>
class MmaLoader {
 public:
  static constexpr int kRowBytes = kDim * Cache::kBytes;
  static constexpr int kStride = KeyStride(kRowBytes);
  static constexpr int kTileBytes = MmaTileBytes(kRowBytes, Cache::kScaled);

  __device__ __forceinline__ MmaLoader(const AttendArguments& args,
                                       const Piece& piece,
                                       const AttendBuffers& buffers,
                                       int tile_warp, int row_warp)
      : args_(args),
        piece_(piece),
        finder_(args, piece),
        ring_(buffers.keys + tile_warp * kMmaStages * kTileBytes),
        row_warp_(row_warp) {}

  __device__ __forceinline__ MmaTile Tile(int stage) const {
    const unsigned char* const keys = ring_ + stage * kTileBytes;
    return {keys, keys + kAttendTile * kStride,
            reinterpret_cast<const float*>(keys + 2 * kAttendTile * kStride)};
  }

  // The next Load() is about this tile, if it is one.
  __device__ __forceinline__ void Find(int tile, int end_tile) {
    finder_.Find(tile, tile < end_tile);
  }

  __device__ __forceinline__ void Load(int stage) {
    if (!finder_.has_tile()) return;
    unsigned char* const keys = ring_ + stage * kTileBytes;
    unsigned char* const values = keys + kAttendTile * kStride;
    float* const scales =
        reinterpret_cast<float*>(values + kAttendTile * kStride);
    const int64_t row = finder_.Row();
    LoadRows(row, keys, values);
    if constexpr (Cache::kScaled)
      if (row_warp_ == 0) LoadScales(row, scales);
    ptx::cp_async_commit();
  }

  // Whether the key that this launch stores is of this tile. If so, it is put
  // there from where StoreOwnRows() has left it.
  __device__ __forceinline__ bool TakeOwn(int tile, int stage,
                                          const unsigned char* own_rows) const {
    if (piece_.own < 0 || piece_.own / kAttendTile != tile) return false;
    if (row_warp_ != 0) return true;
    const int own = piece_.own % kAttendTile;
    unsigned char* const to = ring_ + stage * kTileBytes + own * kStride;
    for (int at = static_cast<int>(threadIdx.x % 32) * 16; at < 2 * kRowBytes;
         at += 32 * 16) {
      const int is_value = at >= kRowBytes ? 1 : 0;
      *reinterpret_cast<uint4*>(
          to + at + is_value * (kAttendTile * kStride - kRowBytes)) =
          *reinterpret_cast<const uint4*>(own_rows + at);
    }
    if (Cache::kScaled && threadIdx.x % 32 < 2)
      reinterpret_cast<float*>(
          ring_ + stage * kTileBytes +
          2 * kAttendTile * kStride)[own + threadIdx.x % 32 * kAttendTile] =
          reinterpret_cast<const float*>(own_rows +
                                         2 * kRowBytes)[threadIdx.x % 32];
    return true;
  }

 private:
  static constexpr int kChunks = kRowBytes / 16;  // of a row

  __device__ __forceinline__ void LoadRows(int64_t row, unsigned char* keys,
                                           unsigned char* values) {
    const int64_t mine = row < 0 ? row : row * kRowBytes;
    const int64_t to_values = args_.kv.value_rows() * kRowBytes;
    const int lane = static_cast<int>(threadIdx.x % 32);
    for (int c = row_warp_ * 32; c < kAttendTile * kChunks;
         c += args_.rows.row_warps * 32) {
      const int key = (c + lane) / kChunks;
      const int at = (c + lane) % kChunks * 16;
      const int64_t from = __shfl_sync(~0u, mine, key);
      if (key == finder_.own()) continue;  // TakeOwn() writes it
      const bool is_there = from >= 0;
      const unsigned char* const source =
          args_.kv.data + (is_there ? from + at : 0);
      const int bytes = is_there ? 16 : 0;
      ptx::cp_async16(keys + key * kStride + at, source, bytes);
      ptx::cp_async16(values + key * kStride + at,
                      source + (is_there ? to_values : 0), bytes);
    }
  }

  // A lane's key, and its value.
  __device__ __forceinline__ void LoadScales(int64_t row, float* to) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    if (lane == finder_.own()) return;  // TakeOwn() writes it
    const bool is_there = row >= 0;
    const float* const source = args_.kv.scales + (is_there ? row : 0);
    const int bytes = is_there ? 4 : 0;
    ptx::cp_async4(to + lane, source, bytes);
    ptx::cp_async4(to + kAttendTile + lane,
                   source + (is_there ? args_.kv.value_rows() : 0), bytes);
  }

  const AttendArguments& args_;
  const Piece& piece_;
  KeyFinder finder_;
  unsigned char* const ring_;
  const int row_warp_;
};

// The key that this launch stores, by one warp: its K, V and scales.
template <typename Cache, int kDim>
__device__ __forceinline__ void StoreOwnRows(const AttendArguments& args,
                                             const Piece& piece,
                                             unsigned char* own_rows) {
  constexpr int kRowBytes = kDim * Cache::kBytes;
#pragma unroll
  for (int is_value = 0; is_value < 2; ++is_value) {
    const float scale =
        StoreOwn<Cache>(args, piece, is_value != 0, piece.writes,
                        own_rows + is_value * kRowBytes);
    if (Cache::kScaled && threadIdx.x % 32 == 0)
      reinterpret_cast<float*>(own_rows + 2 * kRowBytes)[is_value] = scale;
  }
}

}  // namespace quatrain::cuda
