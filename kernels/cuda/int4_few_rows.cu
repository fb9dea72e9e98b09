// Int4 linear for 1 to 16 tokens, exact: the weights stream once, from memory
// through a ring in shared memory to integer tensor cores.
//
//   out[t, n] = f(sum over blocks of round(float(sum (q - z) xi) * a * s))
//
// Shapes    weights: int4_record.h. digits of num_tokens <= 16. out: by role,
//           table.h.
// Launch    blocks of 8 warps that stay, each takes tiles of 16 outputs in
//           turn. The warps of a block share a tile's blocks of k and add up in
//           shared memory; a warp keeps kAhead records in flight (cp.async),
//           also across tiles: 70 KB on a multiprocessor with two blocks. The
//           fused form makes the digits itself, norm included, while the first
//           records are on their way.
// Numerics  docs/numerics.md, 2: exact, so the cut over warps is free.
// Roofline  memory bound: 1,088 bytes per 16 x 128 weights, digits from cache.
//           Read from sm_90a's SASS, a warp issues 112 instructions a record at
//           up to 4 tokens, 154 at 8 and 213 at 16 where all blocks of k are
//           whole, more where they are not. An H200's bandwidth leaves about
//           250.

#include <algorithm>

#include "kernels/cuda/int4_stream.cuh"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/own_digits.cuh"
#include "kernels/cuda/product_output.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/warp_ring.cuh"

namespace quatrain::cuda {
namespace {

constexpr int kWarps = kStreamWarps;
constexpr int kAhead = 4;  // records in flight per warp
constexpr int kMaxTokens = 16;
// Dynamic shared memory for digits of one's own: with the records in flight and
// the sums, one block of threads still fits an sm_86 and two an sm_90.
constexpr int kFusedBytes = 44 * 1024;

template <bool kWide>
using Ring = WarpRing<kAhead, Int4RecordSize(kMaxBlock, kWide)>;

// 16 outputs and room, so that the lanes of a half warp, which are 4 outputs of
// 4 tokens, write to different banks: with one digit their tokens lie 2 apart.
template <int kDigits>
constexpr int kSumPitch = kDigits == 2 ? 20 : 18;

// Leaves a warp's sums in shared memory, [token][output].
template <int kDigits, int kTiles, bool kFused>
__device__ void ShareSums(const LaneTokens<kDigits, kTiles, kFused>& tokens,
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
            sums[n].sums[r][i].Value(tokens.small());
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

template <int kDigits, int kTiles, bool kFused, bool kWide, bool kUniform>
__global__ void __launch_bounds__(kWarps * 32, 2)
    FewKernel(ProductView op, BlockTable blocks, ProductOutput out,
              RowSource source) {
  constexpr int kTokens = kTiles * kTokensPerTile<kDigits>;
  constexpr int kWarpPitch = kTokens * kSumPitch<kDigits>;
  SIMT_SHARED(int64_t, shared, [2][kWarps * kWarpPitch]);
  SIMT_DYNAMIC_SHARED(memory);
  const int warp = threadIdx.x / 32;
  const int num_blocks = blocks.size();
  Ring<kWide> ring(memory + warp * Ring<kWide>::kBytes);
  RecordStream<kWide, kUniform> stream(op, blocks);
  const auto fetch = [&] {
    stream.Fetch(ring.slot());
    ring.Advance();
  };
  for (int p = 0; p < kAhead; ++p) fetch();
  if constexpr (kFused)  // while the first weights are on their way
    OwnDigits<kDigits>(op.num_tokens, op.num_pairs, num_blocks)
        .Make(source, blocks, memory + kWarps * Ring<kWide>::kBytes, op);
  LaneTokens<kDigits, kTiles, kFused> tokens(
      op, kFused ? OwnDigits<kDigits>::BlockPitch(num_blocks) : num_blocks);
  int buffer = 0;
  for (int tile = blockIdx.x; tile < op.num_tiles; tile += gridDim.x) {
    TileSums<kDigits> sums[kTiles];
#pragma unroll
    for (int n = 0; n < kTiles; ++n) sums[n].Clear();
    for (int b = warp; b < num_blocks; b += kWarps) {
      const KBlock block =
          kUniform ? KBlock{0, kMaxBlock, b * kMaxPairs, 0} : blocks[b];
      ring.Wait();
      __syncwarp();
      const Record record =
          ReadRecord<kWide, kUniform>(ring.slot(), block.length);
      __syncwarp();  // all have read the slot that is filled again
      fetch();
      tokens.template Add<kUniform>(
          record, ReadHeader<kWide>(record.header, op.scale_dtype), block, b,
          sums);
    }
    // Two buffers, so one barrier a tile is enough: who writes one again has
    // passed the barrier of the other, after all had read the first.
    ShareSums(tokens, sums, shared[buffer] + warp * kWarpPitch);
    __syncthreads();
    StoreTile<kDigits>(out, shared[buffer], kWarpPitch, op.num_tokens, tile);
    buffer ^= 1;
  }
  tokens.StoreMarks();
}

// own_bytes: of digits that the kernel makes.
template <int kDigits, int kTiles, bool kFused, bool kWide, bool kUniform>
void LaunchKernel(const ProductView& view, const BlockTable& blocks,
                  const ProductOutput& out, const RowSource& source,
                  int64_t own_bytes, int grid, simt::Stream stream) {
  constexpr int kRings = kWarps * Ring<kWide>::kBytes;
  const auto kernel = FewKernel<kDigits, kTiles, kFused, kWide, kUniform>;
  simt::allow_dynamic_shared(kernel, kRings + (kFused ? kFusedBytes : 0));
  simt::launch(kernel, dim3(grid), dim3(kWarps * 32),
               static_cast<size_t>(kRings + own_bytes), stream, view, blocks,
               out, source);
}

template <int kDigits, int kTiles, bool kFused>
void LaunchTiles(const ProductView& view, const BlockTable& blocks,
                 const ProductOutput& out, const RowSource& source,
                 int64_t own_bytes, bool wide, int grid, simt::Stream stream) {
  const auto launch = wide ? LaunchKernel<kDigits, kTiles, kFused, true, false>
                      : blocks.is_uniform()
                          ? LaunchKernel<kDigits, kTiles, kFused, false, true>
                          : LaunchKernel<kDigits, kTiles, kFused, false, false>;
  launch(view, blocks, out, source, own_bytes, grid, stream);
}

// Blocks of threads that stay: two for each multiprocessor.
int GridOf(const QuatrainInt4& linear, int num_sms) {
  return std::min((linear.rows + kTileRows - 1) / kTileRows, 2 * num_sms);
}

int64_t OwnBytes(int num_tokens, int num_pairs, int num_blocks,
                 int num_digits) {
  return num_digits == 2
             ? OwnDigits<2>(num_tokens, num_pairs, num_blocks).bytes
             : OwnDigits<1>(num_tokens, num_pairs, num_blocks).bytes;
}

}  // namespace

const char* LaunchFewRows(const QuatrainProduct& op, int num_sms,
                          simt::Stream stream) {
  if (op.num_tokens > kMaxTokens)
    return "product: the kernel for few rows takes at most 16 tokens";
  auto launch =
      op.num_tokens <= 8 ? LaunchTiles<1, 1, false> : LaunchTiles<1, 2, false>;
  if (op.x.num_digits == 2) {
    if (op.num_tokens <= 4)
      launch = LaunchTiles<2, 1, false>;
    else if (op.num_tokens <= 8)
      launch = LaunchTiles<2, 2, false>;
    else
      launch = LaunchTiles<2, 4, false>;
  }
  launch(ViewOf(op), Int4Blocks(op.linear), OutputOf(op), RowSource{}, 0,
         op.linear.scale_dtype == kQuatrainF32, GridOf(op.linear, num_sms),
         stream);
  return nullptr;
}

bool FusedProductFits(int num_tokens, int num_pairs, int num_blocks,
                      int num_digits) {
  return num_tokens <= 8 / num_digits &&
         OwnBytes(num_tokens, num_pairs, num_blocks, num_digits) <= kFusedBytes;
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
  const RowSource source{
      op.x,        op.x_stride, op.x_marks,      op.norm_weight,
      op.norm_eps, linear.cols, linear.max_scale};
  (num_digits == 2
       ? LaunchTiles<2, 1, true>
       : LaunchTiles<1, 1, true>)(ViewOf(product), Int4Blocks(linear),
                                  OutputOf(product), source,
                                  OwnBytes(product.num_tokens, linear.num_pairs,
                                           linear.num_blocks, num_digits),
                                  linear.scale_dtype == kQuatrainF32,
                                  GridOf(linear, num_sms), stream);
  return nullptr;
}

}  // namespace quatrain::cuda
