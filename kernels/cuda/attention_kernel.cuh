#pragma once

#include <cstdint>

#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/attention_load.cuh"
#include "kernels/cuda/attention_merge.cuh"
#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/attention_state.cuh"
#include "kernels/cuda/attention_warp.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

// The kernel of attention.cu, for one type of cache. kRows: of a warp; kDims:
// of a lane, 32 * kDims >= head_dim.
namespace quatrain::cuda {

template <typename Cache, int kRows, int kDims>
__device__ __forceinline__ void AttendPiece(const AttendArguments& args,
                                            const Piece& piece,
                                            const AttendBuffers& buffers) {
  TileLoader<Cache, kDims> loader(args, piece, buffers);
  WarpTile<Cache, kRows, kDims> tile(args, buffers, loader.row_warp());
  const int tile_warp = loader.tile_warp();
  Round now;
  now.SetSegment(piece, piece.entry.first_segment);
  loader.Find(now);
  loader.LoadKeys();
  loader.LoadValues();
  LoadQueries(args, piece, buffers);
  for (int row = threadIdx.x; row < piece.num_rows; row += blockDim.x) {
    States(buffers.segment, args).m[row] = NoKeys();
    States(buffers.total, args).m[row] = NoKeys();
  }
  __syncthreads();  // queries, ranges, states
  while (now.IsIn(piece)) {
    const Round next = now.Next(piece, args.tile_warps);
    loader.Find(next);
    tile.SetTile(now.tile + tile_warp, now.tile + tile_warp < now.end_tile);
    ptx::cp_async_wait<1>();
    SyncTile(args, tile_warp);  // K has arrived
    tile.Weigh(loader);
    SyncTile(args, tile_warp);  // K has been read
    loader.LoadKeys();
    ptx::cp_async_wait<1>();
    SyncTile(args, tile_warp);  // V has arrived
    float o[kRows][kDims];
    tile.Value(loader, o);
    __syncthreads();  // V has been read; the last tiles have been merged
    loader.LoadValues();
    tile.Leave(buffers, tile_warp, loader.row_warp(), o);
    __syncthreads();  // states of the tiles in hand
    WeighTiles(args, piece, buffers);
    __syncthreads();  // their weights
    MergeTiles(args, piece, buffers);
    if (next.segment != now.segment) {
      __syncthreads();  // the segment is whole
      MergeSegment(args, piece, buffers);
    }
    now = next;
  }
  ptx::cp_async_wait<0>();
  __syncthreads();  // the total
  StorePiece(args, piece, buffers);
  __syncthreads();  // buffers may be used again
}

template <typename Cache, int kRows, int kDims>
__global__ void __launch_bounds__(kAttendMaxWarps * 32, kRows == 1 ? 2 : 1)
    AttendKernel(AttendArguments args) {
  SIMT_DYNAMIC_SHARED(memory);
  const AttendBuffers buffers = Carve(memory, args);
  const int num_pieces = *args.num_entries * args.pieces;
  for (int i = blockIdx.x; i < num_pieces; i += gridDim.x) {
    const Piece piece = PieceAt(args, i);
    if (piece.num_rows > 0)
      AttendPiece<Cache, kRows, kDims>(args, piece, buffers);
  }
}

template <typename Cache, int kRows, int kDims>
const char* LaunchKernel(const AttendArguments& args,
                         const AttendLaunch& launch, simt::Stream stream) {
  return LaunchAttendKernel(AttendKernel<Cache, kRows, kDims>, args, launch,
                            stream);
}

template <typename Cache, int kRows>
const char* LaunchRows(const AttendArguments& args, const AttendLaunch& launch,
                       simt::Stream stream) {
  return args.head_dim <= 64
             ? LaunchKernel<Cache, kRows, 2>(args, launch, stream)
             : LaunchKernel<Cache, kRows, 4>(args, launch, stream);
}

#define QUATRAIN_ATTEND_TYPE(Cache)                              \
  template <>                                                    \
  const char* LaunchAttendAs<Cache>(const AttendArguments& args, \
                                    const AttendLaunch& launch,  \
                                    simt::Stream stream) {       \
    if (args.head_dim > 128)                                     \
      return LaunchKernel<Cache, 4, 8>(args, launch, stream);    \
    switch (launch.rows.rows) {                                  \
      case 1:                                                    \
        return LaunchRows<Cache, 1>(args, launch, stream);       \
      case 4:                                                    \
        return LaunchRows<Cache, 4>(args, launch, stream);       \
      default:                                                   \
        return LaunchRows<Cache, 8>(args, launch, stream);       \
    }                                                            \
  }

}  // namespace quatrain::cuda
