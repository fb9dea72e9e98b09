// Int4 linear for 1 to 16 tokens, exact: the weights stream once, from memory
// to registers, past integer tensor cores.
//
//   out[t, n] = f(sum over blocks of round(float(sum (q - z) xi) * a * s))
//
// Shapes    weights: int4_record.h. digits of num_tokens <= 16. out: by role,
//           table.h.
// Launch    blocks of 8 warps that stay, each takes tiles of 16 outputs in
//           turn. The warps of a block share a tile's blocks of k and add up in
//           shared memory; a warp keeps kAhead records in flight in registers,
//           also across tiles. The fused form makes the digits itself, norm
//           included, while the first records are on their way.
// Numerics  docs/numerics.md, 2: exact, so the cut over warps is free.
// Roofline  memory bound: 1,088 bytes per 16 x 128 weights, digits from cache.
//           A warp spends about 60 instructions a record at 4 tokens, a third
//           of what an H200's bandwidth leaves; 16 tokens about 150.

#include <algorithm>

#include "kernels/cuda/int4_stream.cuh"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/own_digits.cuh"
#include "kernels/cuda/product_output.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kAhead = 4;  // records in flight per warp
constexpr int kMaxTokens = 16;
// Dynamic shared memory for digits of one's own, beside the sums: two blocks of
// threads still fit an sm_80, one an sm_86.
constexpr int kFusedBytes = 64 * 1024;
// 16 outputs and room, so that the lanes of a half warp, which are 4 outputs of
// 4 tokens, write to different banks: with one digit their tokens lie 2 apart.
template <int kDigits>
constexpr int kSumPitch = kDigits == 2 ? 20 : 18;

// Leaves a warp's sums in shared memory, [token][output].
template <int kDigits, int kTiles>
__device__ void ShareSums(const LaneTokens<kDigits, kTiles>& tokens,
                          const TileSums<kDigits> (&sums)[kTiles],
                          int64_t* shared) {
  const int g = threadIdx.x % 32 / 4;
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int i = 0; i < kLaneTokens<kDigits>; ++i) {
      const int token = tokens.Token(n, i);
#pragma unroll
      for (int r = 0; r < 2; ++r)
        shared[token * kSumPitch<kDigits> + g + 8 * r] =
            sums[n].sums[r][i].Value(tokens.small[n][i]);
    }
}

// One output of one token, over all warps.
template <int kDigits>
__device__ int64_t SumOverWarps(const int64_t* shared, int warp_pitch,
                                int token, int row) {
  uint64_t sum = 0;
  for (int w = 0; w < kWarps; ++w)
    sum += static_cast<uint64_t>(
        shared[w * warp_pitch + token * kSumPitch<kDigits> + row]);
  return static_cast<int64_t>(sum);
}

template <int kDigits>
__device__ void StoreTile(const ProductOutput& out, const int64_t* shared,
                          int warp_pitch, int num_tokens, int tile) {
  const int row = threadIdx.x % kTileRows;
  for (int token = threadIdx.x / kTileRows; token < num_tokens;
       token += kWarps * 32 / kTileRows) {
    const int64_t sum = SumOverWarps<kDigits>(shared, warp_pitch, token, row);
    if (out.kind != kQuatrainGated)
      out.Store(sum, token, tile * kTileRows + row);
    else if (row < kTileRows / 2)
      out.StoreGated(
          sum,
          SumOverWarps<kDigits>(shared, warp_pitch, token, row + kTileRows / 2),
          token, tile, row);
  }
}

template <int kDigits, int kTiles, bool kWide, bool kFused>
__global__ void __launch_bounds__(kWarps * 32, 2)
    FewRowsKernel(ProductView op, BlockTable blocks, ProductOutput out,
                  RowSource source) {
  constexpr int kTokens = kTiles * kTokensPerTile<kDigits>;
  constexpr int kWarpPitch = kTokens * kSumPitch<kDigits>;
  SIMT_SHARED(int64_t, shared, [2][kWarps * kWarpPitch]);
  const int warp = threadIdx.x / 32;
  const int stride = kWarps * kAhead;
  const int num_blocks = blocks.size();
  // Record p of a round is block `first + p * kWarps`; all warps make the same
  // number of rounds for a tile.
  const auto load = [&](Record& record, int tile, int b) {
    if (tile >= op.num_tiles || b >= num_blocks) return;
    const KBlock block = blocks[b];
    LoadRecord<kWide>(op.tiles + tile * op.tile_bytes + block.offset,
                      block.length, record);
  };

  Record ring[kAhead];
#pragma unroll
  for (int p = 0; p < kAhead; ++p) load(ring[p], blockIdx.x, warp + p * kWarps);
  if constexpr (kFused) {
    // While the first weights are on their way.
    SIMT_DYNAMIC_SHARED(own);
    OwnDigits<kDigits>(op.num_tokens, op.num_pairs, num_blocks)
        .Make(source, blocks, own, op);
  }
  LaneTokens<kDigits, kTiles> tokens(op);
  int buffer = 0;
  for (int tile = blockIdx.x; tile < op.num_tiles; tile += gridDim.x) {
    TileSums<kDigits> sums[kTiles];
#pragma unroll
    for (int n = 0; n < kTiles; ++n) sums[n].Clear();
    for (int first = warp; first < num_blocks + warp; first += stride) {
      const bool last = first - warp + stride >= num_blocks;
      const int next_tile = last ? tile + gridDim.x : tile;
      const int next_first = last ? warp : first + stride;
#pragma unroll
      for (int p = 0; p < kAhead; ++p) {
        const int b = first + p * kWarps;
        if (b < num_blocks)
          AddRecord<kDigits, kTiles, kWide, kFused>(op, ring[p], blocks[b], b,
                                                    num_blocks, tokens, sums);
        load(ring[p], next_tile, next_first + p * kWarps);
      }
    }
    // Two buffers, so one barrier a tile is enough: who writes one again has
    // passed the barrier of the other, after all had read the first.
    ShareSums(tokens, sums, shared[buffer] + warp * kWarpPitch);
    __syncthreads();
    StoreTile<kDigits>(out, shared[buffer], kWarpPitch, op.num_tokens, tile);
    buffer ^= 1;
  }
  tokens.StoreMarks(op);
}

template <int kDigits, int kTiles>
void LaunchTiles(const ProductView& view, const BlockTable& blocks,
                 const ProductOutput& out, bool wide, int grid,
                 simt::Stream stream) {
  const auto kernel = wide ? FewRowsKernel<kDigits, kTiles, true, false>
                           : FewRowsKernel<kDigits, kTiles, false, false>;
  simt::launch(kernel, dim3(grid), dim3(kWarps * 32), 0, stream, view, blocks,
               out, RowSource{});
}

template <int kDigits>
void LaunchFused(const ProductView& view, const BlockTable& blocks,
                 const ProductOutput& out, const RowSource& source, bool wide,
                 int grid, simt::Stream stream) {
  const auto kernel = wide ? FewRowsKernel<kDigits, 1, true, true>
                           : FewRowsKernel<kDigits, 1, false, true>;
  const OwnDigits<kDigits> own(view.num_tokens, view.num_pairs, blocks.size());
  simt::allow_dynamic_shared(kernel, kFusedBytes);
  simt::launch(kernel, dim3(grid), dim3(kWarps * 32),
               static_cast<size_t>(own.bytes), stream, view, blocks, out,
               source);
}

// Blocks of threads that stay: two for each multiprocessor.
int GridOf(const ProductView& view, int num_sms) {
  return std::min(view.num_tiles, 2 * num_sms);
}

}  // namespace

const char* LaunchFewRows(const QuatrainProduct& op, int num_sms,
                          simt::Stream stream) {
  if (op.num_tokens > kMaxTokens)
    return "product: the kernel for few rows takes at most 16 tokens";
  const bool wide = op.linear.scale_dtype == kQuatrainF32;
  const BlockTable blocks = Int4Blocks(op.linear);
  const ProductView view = ViewOf(op);
  const ProductOutput out = OutputOf(op);
  const int grid = GridOf(view, num_sms);
  if (op.x.num_digits == 2) {
    if (op.num_tokens <= 4)
      LaunchTiles<2, 1>(view, blocks, out, wide, grid, stream);
    else if (op.num_tokens <= 8)
      LaunchTiles<2, 2>(view, blocks, out, wide, grid, stream);
    else
      LaunchTiles<2, 4>(view, blocks, out, wide, grid, stream);
  } else {
    if (op.num_tokens <= 8)
      LaunchTiles<1, 1>(view, blocks, out, wide, grid, stream);
    else
      LaunchTiles<1, 2>(view, blocks, out, wide, grid, stream);
  }
  return nullptr;
}

bool FusedProductFits(int num_tokens, int num_pairs, int num_blocks,
                      int num_digits) {
  if (num_tokens > 8 / num_digits) return false;
  return num_digits == 2
             ? OwnDigits<2>(num_tokens, num_pairs, num_blocks).bytes <=
                   kFusedBytes
             : OwnDigits<1>(num_tokens, num_pairs, num_blocks).bytes <=
                   kFusedBytes;
}

const char* LaunchFusedProduct(const QuatrainFusedProduct& op, int num_sms,
                               simt::Stream stream) {
  const QuatrainProduct& product = op.product;
  const QuatrainInt4& linear = product.linear;
  if (product.num_tokens == 0 || linear.rows == 0) return nullptr;
  const int num_digits = product.x.num_digits;
  if (num_digits != 1 && num_digits != 2)
    return "fused product: num_digits is neither 1 nor 2";
  if (!FusedProductFits(product.num_tokens, linear.num_pairs, linear.num_blocks,
                        num_digits))
    return "fused product: the digits of these tokens do not fit in shared "
           "memory";
  const bool wide = linear.scale_dtype == kQuatrainF32;
  const ProductView view = ViewOf(product);
  const RowSource source{
      op.x,        op.x_stride, op.x_marks,      op.norm_weight,
      op.norm_eps, linear.cols, linear.max_scale};
  (num_digits == 2 ? LaunchFused<2>
                   : LaunchFused<1>)(view, Int4Blocks(linear),
                                     OutputOf(product), source, wide,
                                     GridOf(view, num_sms), stream);
  return nullptr;
}

}  // namespace quatrain::cuda
