#pragma once

#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/attention_state.cuh"
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/simt.h"

// What one warp does with a tile of its piece.
namespace quatrain::cuda {

// kCount consecutive floats, 16 bytes at a time where there are as many.
template <int kCount>
__device__ __forceinline__ void StoreRun(const float* from, float* to) {
  if constexpr (kCount == 2) {
    *reinterpret_cast<float2*>(to) = make_float2(from[0], from[1]);
  } else {
#pragma unroll
    for (int i = 0; i < kCount; i += 4)
      *reinterpret_cast<float4*>(to + i) =
          make_float4(from[i], from[i + 1], from[i + 2], from[i + 3]);
  }
}

// One warp's rows over its tile, first its weights, then its values.
template <typename Cache, int kRows, int kDims>
class WarpTile {
 public:
  __device__ __forceinline__ WarpTile(const AttendArguments& args,
                                      const AttendBuffers& buffers,
                                      int row_warp)
      : args_(args),
        ranges_(buffers.ranges + row_warp * kRows),
        q_(buffers.queries + row_warp * kRows * args.head_dim),
        p_(buffers.scores + threadIdx.x / 32 * ((kRows + 1) * kAttendTile)) {}

  // What the rows see of the tile; with is_there false they see nothing.
  __device__ __forceinline__ void SetTile(int tile, bool is_there) {
    tile_begin_ = tile * kAttendTile;
    const int2 first = ranges_[0];
    const int2 last = ranges_[kRows - 1];
    begin_ = max(first.x - tile_begin_, 0);
    end_ = is_there ? min(last.y - tile_begin_, kAttendTile) : 0;
    is_full_ = is_there && last.x <= tile_begin_ &&
               first.y >= tile_begin_ + kAttendTile;
  }

  // Weights go to shared memory, lane r keeps m and l of row r.
  template <typename Loader>
  __device__ __forceinline__ void Weigh(const Loader& loader) {
    m_ = NoKeys();
    l_ = 0.0f;
    if (begin_ >= end_) return;
    const int lane = static_cast<int>(threadIdx.x % 32);
    float s[kRows];
    Scores<Cache>(q_, args_.head_dim,
                  loader.keys() + lane * args_.layout.key_stride,
                  loader.key_scale(), args_.scale, s);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int2 range = ranges_[r];
      const int key = tile_begin_ + lane;
      float m, l;
      p_[r * kAttendTile + lane] =
          Softmax(s[r], key >= range.x && key < range.y, m, l);
      const bool has_keys =
          range.x < tile_begin_ + kAttendTile && range.y > tile_begin_;
      if (lane == r) {
        m_ = has_keys ? m : NoKeys();
        l_ = l;
      }
    }
  }

  // o of every row that has keys, to `partial` [kRows][head_dim].
  template <typename Loader>
  __device__ __forceinline__ void Value(const Loader& loader,
                                        float (&o)[kRows][kDims]) {
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int i = 0; i < kDims; ++i) o[r][i] = 0.0f;
    if (begin_ >= end_) return;
    if constexpr (Cache::kScaled)
      p_[kRows * kAttendTile + threadIdx.x % 32] = loader.value_scale();
    __syncwarp();  // weights and scales before other lanes read them
    if (is_full_)
      AddValues<Cache>(loader.values(), args_.layout.row_bytes, args_.head_dim,
                       p_, o);
    else
      AddSomeValues<Cache>(loader.values(), args_.layout.row_bytes,
                           args_.head_dim, p_, begin_, end_, ranges_,
                           tile_begin_, o);
  }

  // To the buffers of tile_warp, from where the block merges.
  __device__ __forceinline__ void Leave(const AttendBuffers& buffers,
                                        int tile_warp, int row_warp,
                                        const float (&o)[kRows][kDims]) {
    using Dims = LaneDims<Cache, kDims>;
    const int first_row = tile_warp * args_.rows.total + row_warp * kRows;
    const int lane = static_cast<int>(threadIdx.x % 32);
    if (lane < kRows) {
      buffers.tile_m[first_row + lane] = m_;
      buffers.tile_l[first_row + lane] = l_;
    }
    if (begin_ >= end_) return;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float* const to = buffers.partials + (first_row + r) * args_.head_dim;
#pragma unroll
      for (int part = 0; part < Dims::kParts; ++part)
        if (Dims::Has(part, args_.head_dim))
          StoreRun<Dims::kVector>(o[r] + part * Dims::kVector,
                                  to + Dims::First(part));
    }
  }

 private:
  const AttendArguments& args_;
  const int2* const ranges_;
  const float* const q_;
  float* const p_;
  int tile_begin_ = 0;
  int begin_ = 0, end_ = 0;  // keys of the tile that some row sees
  bool is_full_ = false;     // every row sees all
  float m_ = 0.0f, l_ = 0.0f;
};

}  // namespace quatrain::cuda
