#pragma once

#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/attention_merge.cuh"
#include "kernels/cuda/attention_mma_load.cuh"
#include "kernels/cuda/attention_mma_plan.h"
#include "kernels/cuda/attention_mma_query.cuh"
#include "kernels/cuda/attention_mma_warp.cuh"
#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

// The kernel of attention_mma.cu, for one type of cache. A warp has 16 rows;
// row warps share a tile of 32 keys, tile warps have different ones.
namespace quatrain::cuda {

// Merges what the tile warps have left into the total.
__device__ inline void MergeTileWarps(const AttendArguments& args,
                                      const Piece& piece,
                                      AttendBuffers buffers) {
  buffers.segment = buffers.total;
  __syncthreads();  // partials, sums, the empty total
  WeighTiles(args, piece, buffers);
  __syncthreads();  // weights
  MergeTiles(args, piece, buffers);
}

// No keys, and zeros: a row whose scores are all -infinity is 0 / 0.
__device__ inline void ClearTotal(const AttendArguments& args,
                                  const Piece& piece,
                                  const AttendBuffers& buffers) {
  const States total(buffers.total, args);
  for (int i = threadIdx.x; i < piece.num_rows * args.head_dim / 4;
       i += blockDim.x)
    total.Quad(i) = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (int row = threadIdx.x; row < piece.num_rows; row += blockDim.x) {
    total.m[row] = NoKeys();
    total.l[row] = 0.0f;
  }
}

template <typename Cache, int kDim>
__device__ __forceinline__ void AttendMmaPiece(const AttendArguments& args,
                                               const Piece& piece,
                                               const AttendBuffers& buffers) {
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int tile_warp = warp / args.rows.row_warps;
  const int row_warp = warp % args.rows.row_warps;
  const int step = args.tile_warps;
  const int end_tile = min(piece.entry.end_segment * kTilesPerSegment,
                           (piece.end + kAttendTile - 1) / kAttendTile);
  const int first_tile = max(piece.entry.first_segment * kTilesPerSegment,
                             piece.begin / kAttendTile);
  int tile = first_tile + tile_warp;
  MmaLoader<Cache, kDim> loader(args, piece, buffers, tile_warp, row_warp);
  loader.Find(tile, end_tile);
  loader.Load(0);
  loader.Find(tile + step, end_tile);
  LoadQueryFragments<Cache, kDim>(args, piece, buffers);
  const int own_tile = piece.own / kAttendTile;
  if (warp == 0 && piece.own >= 0 && own_tile >= first_tile &&
      own_tile < end_tile)
    StoreOwnRows<Cache, kDim>(args, piece, buffers.values);
  __syncthreads();  // queries, factors, ranges, the own key
  MmaWarp<Cache, kDim> rows(piece, buffers, row_warp);
  for (int stage = 0; tile < end_tile; tile += step, stage ^= 1) {
    ptx::cp_async_wait<0>();
    SyncTile(args, tile_warp);  // a tile has arrived, another has been read
    loader.Load(stage ^ 1);
    loader.Find(tile + 2 * step, end_tile);
    if (loader.TakeOwn(tile, stage, buffers.values))
      SyncTile(args, tile_warp);  // the own key
    __syncwarp();                 // ldmatrix and mma want a whole warp
    rows.Add(tile, loader.Tile(stage));
  }
  if (step == 1 && piece.entry.num_splits == 1) {
    rows.Store(args, piece);
    __syncthreads();  // buffers may be used again
    return;
  }
  __syncthreads();  // states now take the place of tiles
  if (step == 1) {
    rows.Leave(piece.num_rows, States(buffers.total, args));
  } else {
    const int first = tile_warp * args.rows.total;
    rows.Leave(piece.num_rows,
               {buffers.partials + first * args.head_dim,
                buffers.tile_m + first, buffers.tile_l + first});
    ClearTotal(args, piece, buffers);
    MergeTileWarps(args, piece, buffers);
  }
  __syncthreads();  // the total
  StorePiece(args, piece, buffers);
  __syncthreads();  // buffers may be used again
}

// States lie where the tiles were: what the layout says of them is offsets into
// the same buffer.
__device__ __forceinline__ AttendBuffers CarveMma(unsigned char* memory,
                                                  const AttendArguments& args) {
  const AttendShared& layout = args.layout;
  AttendBuffers buffers{};
  buffers.keys = Carve<unsigned char>(memory, layout.keys);
  buffers.values = Carve<unsigned char>(memory, layout.values);
  buffers.queries = Carve<float>(memory, layout.queries);
  buffers.scores = Carve<float>(memory, layout.scores);
  buffers.ranges = Carve<int2>(memory, layout.ranges);
  buffers.flag = Carve<int>(memory, layout.flag);
  buffers.partials = reinterpret_cast<float*>(memory + layout.partials.offset);
  buffers.tile_m = reinterpret_cast<float*>(memory + layout.sums.offset);
  buffers.tile_l = buffers.tile_m + args.tile_warps * args.rows.total;
  buffers.weights = reinterpret_cast<float2*>(memory + layout.weights.offset);
  buffers.total = reinterpret_cast<float*>(memory + layout.total.offset);
  return buffers;
}

template <typename Cache, int kDim>
__global__ void __launch_bounds__(kMmaWarps * 32, kDim > 128 ? 2 : 3)
    AttendMmaKernel(AttendArguments args) {
  SIMT_DYNAMIC_SHARED(memory);
  const AttendBuffers buffers = CarveMma(memory, args);
  const int num_pieces = *args.num_entries * args.pieces;
  for (int i = blockIdx.x; i < num_pieces; i += gridDim.x) {
    const Piece piece = PieceAt(args, i);
    if (piece.num_rows > 0) AttendMmaPiece<Cache, kDim>(args, piece, buffers);
  }
}

template <typename Cache, int kDim>
const char* LaunchMmaKernel(const AttendArguments& args,
                            const AttendLaunch& launch, simt::Stream stream) {
  return LaunchAttendKernel(AttendMmaKernel<Cache, kDim>, args, launch, stream);
}

#define QUATRAIN_ATTEND_MMA_TYPE(Cache)                             \
  template <>                                                       \
  const char* LaunchAttendMmaAs<Cache>(const AttendArguments& args, \
                                       const AttendLaunch& launch,  \
                                       simt::Stream stream) {       \
    switch (args.head_dim) {                                        \
      case 64:                                                      \
        return LaunchMmaKernel<Cache, 64>(args, launch, stream);    \
      case 80:                                                      \
        return LaunchMmaKernel<Cache, 80>(args, launch, stream);    \
      case 96:                                                      \
        return LaunchMmaKernel<Cache, 96>(args, launch, stream);    \
      case 128:                                                     \
        return LaunchMmaKernel<Cache, 128>(args, launch, stream);   \
      default:                                                      \
        return LaunchMmaKernel<Cache, 256>(args, launch, stream);   \
    }                                                               \
  }

}  // namespace quatrain::cuda
