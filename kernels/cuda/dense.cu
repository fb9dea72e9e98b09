// Dense linear of f16, bf16 or f32 weights, exact: the head, and linears that
// were not quantized.
//
//   out[t, n] = f(sum over blocks of round(chain of fma over the block's k))
//
// Shapes    weights: tiles of 32 outputs, int4_record.h. x: f32
//           [num_tokens, K].
// Launch    (outputs / 64, tokens / 16) blocks of 8 warps, for one token
//           (outputs / 32); a lane is an output of each tile, the warps share
//           the blocks of k and add up in shared memory. A warp keeps eight
//           chunks of each tile in flight, weights and activations (cp.async):
//           128 KB on a multiprocessor up to 8 tokens, 64 beyond, where it
//           has room for them (sm_80, sm_90).
// Numerics  docs/numerics.md, 2: exact. k ascends inside a block, outputs go
//           across lanes, so no order is left to choose.
// Roofline  memory bound up to 4 tokens. Read from sm_90a's SASS, a warp issues
//           64 instructions per 512 bytes of f16 weights for 1 token, 70 for 4,
//           124 for 8 and 210 for 16; an H200's bandwidth leaves 110. Each lane
//           takes its own copy of the activations from shared memory: 64
//           outputs a warp halve that, to 40 clocks of 28 at 8 tokens.

#include "kernels/cuda/dense_stream.cuh"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/product_output.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/widen.cuh"

namespace quatrain::cuda {
namespace {

using namespace dense;

constexpr int kMaxTokens = 16;

// Multiplies one chunk of each tile with every token, k ascending. kStep tokens
// of all tiles side by side, since each multiply-add of a chain waits for the
// one before.
template <typename T, int kTokens>
__device__ __forceinline__ void MultiplyChunk(
    const unsigned char* chunk, const unsigned char* activations,
    int num_tokens, float (&c)[kTokens][Shape<T, kTokens>::kTiles]) {
  using S = Shape<T, kTokens>;
  constexpr int kStep = kTokens < 2 ? kTokens : 2;
  float w[S::kTiles][S::kElements];
#pragma unroll
  for (int r = 0; r < S::kTiles; ++r) {
    const uint4 words = *reinterpret_cast<const uint4*>(
        chunk + r * S::kTileBytes + threadIdx.x % 32 * kChunkBytes);
    const T* narrow = reinterpret_cast<const T*>(&words);
#pragma unroll
    for (int e = 0; e < S::kElements; ++e) w[r][e] = Widen(narrow[e]);
  }
#pragma unroll
  for (int first = 0; first < kTokens; first += kStep) {
    if (first > 0 && first % 4 == 0 && first >= num_tokens) break;
    float4 x[kStep][S::kElements / 4];
#pragma unroll
    for (int i = 0; i < kStep; ++i)
#pragma unroll
      for (int e = 0; e < S::kElements / 4; ++e)
        x[i][e] = *reinterpret_cast<const float4*>(
            activations + (first + i) * S::kGroupK * 4 + e * 16);
#pragma unroll
    for (int e = 0; e < S::kElements; ++e)
#pragma unroll
      for (int i = 0; i < kStep; ++i) {
        const float4& four = x[i][e / 4];
        const float value = e % 4 == 0   ? four.x
                            : e % 4 == 1 ? four.y
                            : e % 4 == 2 ? four.z
                                         : four.w;
#pragma unroll
        for (int r = 0; r < S::kTiles; ++r)
          c[first + i][r] = __fmaf_rn(value, w[r][e], c[first + i][r]);
      }
  }
}

// One lane's sums over its warp's blocks, for every token. Returns the tokens
// that they mark.
template <typename T, int kTokens>
__device__ uint32_t
SumBlocks(const DenseView& op, const BlockTable& blocks, int first_token,
          unsigned char* memory,
          ExactSum (&sums)[kTokens][Shape<T, kTokens>::kTiles]) {
  using S = Shape<T, kTokens>;
  const int warp = threadIdx.x / 32;
  const GroupFetch<T, kTokens> copies(op, first_token);
  typename S::Ring ring(memory);
  Cursor<S::kGroupK> next(blocks, warp);
  const auto fetch = [&] {
    if (next.b < blocks.size()) {
      copies.Fetch(next, ring.slot());
      next.Advance(blocks);
    }
    ring.Advance();
  };
  for (int p = 0; p < S::kAhead; ++p) fetch();
  uint32_t marked = 0;
  float c[kTokens][S::kTiles] = {};
  Cursor<S::kGroupK> at(blocks, warp);
  for (; at.b < blocks.size(); at.Advance(blocks)) {
    ring.Wait();
    __syncwarp();
    const unsigned char* slot = ring.slot();
#pragma unroll
    for (int i = 0; i < S::kGroup; ++i)
      if (at.k + i * S::kElements < at.block.length)
        MultiplyChunk<T, kTokens>(
            slot + i * kRowOfChunks,
            slot + S::kActivationsAt + i * S::kElements * 4,
            op.num_tokens - first_token, c);
    __syncwarp();  // all have read the slot that is filled again
    fetch();
    if (!at.AtLastGroup()) continue;
#pragma unroll
    for (int i = 0; i < kTokens; ++i)
#pragma unroll
      for (int r = 0; r < S::kTiles; ++r) {
        if (!sums[i][r].AddChecked(c[i][r])) marked |= 1u << i;
        c[i][r] = 0.0f;
      }
  }
  return marked;
}

template <typename T, int kTokens>
__global__ void __launch_bounds__(kWarps * 32, kTokens == 1   ? 4
                                               : kTokens <= 8 ? 2
                                                              : 1)
    DenseKernel(DenseView op, BlockTable blocks, ProductOutput out) {
  using S = Shape<T, kTokens>;
  SIMT_DYNAMIC_SHARED(memory);
  const int first_token = blockIdx.y * kMaxTokens;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const auto sums_of = [&](int w) {
    return reinterpret_cast<int64_t*>(memory + w * S::Ring::kBytes) + lane;
  };
  ExactSum sums[kTokens][S::kTiles];
#pragma unroll
  for (int i = 0; i < kTokens; ++i)
#pragma unroll
    for (int r = 0; r < S::kTiles; ++r) sums[i][r].Clear();
  const uint32_t marked = SumBlocks<T, kTokens>(
      op, blocks, first_token, memory + warp * S::Ring::kBytes, sums);
#pragma unroll
  for (int i = 0; i < kTokens; ++i) {
#pragma unroll
    for (int r = 0; r < S::kTiles; ++r)
      sums_of(warp)[(i * S::kTiles + r) * kDenseTileRows] =
          sums[i][r].Value(false);
    const int token = first_token + i;
    if (token < op.num_tokens &&
        (((marked >> i) & 1) != 0 ||
         (op.x_marks != nullptr && op.x_marks[token] != 0)))
      atomicOr(&op.marks[token], 1);
  }
  __syncthreads();
  for (int i = warp; i < kTokens * S::kTiles; i += kWarps) {
    const int token = first_token + i / S::kTiles;
    if (token >= op.num_tokens) continue;
    uint64_t sum = 0;
    for (int w = 0; w < kWarps; ++w)
      sum += static_cast<uint64_t>(sums_of(w)[i * kDenseTileRows]);
    const int tile = blockIdx.x * S::kTiles + i % S::kTiles;
    out.Store(static_cast<int64_t>(sum), token, tile * kDenseTileRows + lane);
  }
}

template <typename T, int kTokens>
void LaunchKernel(const DenseView& view, const BlockTable& blocks,
                  const ProductOutput& out, simt::Stream stream) {
  using S = Shape<T, kTokens>;
  const auto kernel = DenseKernel<T, kTokens>;
  constexpr int kBytes = kWarps * S::Ring::kBytes;
  const dim3 grid((view.num_tiles + S::kTiles - 1) / S::kTiles,
                  (view.num_tokens + kMaxTokens - 1) / kMaxTokens);
  simt::allow_dynamic_shared(kernel, kBytes);
  simt::launch(kernel, grid, dim3(kWarps * 32), kBytes, stream, view, blocks,
               out);
}

template <typename T>
void LaunchTokens(const QuatrainDenseProduct& op, simt::Stream stream) {
  const QuatrainDense& linear = op.linear;
  const DenseView view{static_cast<const unsigned char*>(linear.tiles),
                       linear.tile_bytes,
                       (linear.rows + kDenseTileRows - 1) / kDenseTileRows,
                       op.x,
                       op.x_stride,
                       op.x_marks,
                       op.num_tokens,
                       op.marks};
  const ProductOutput out{op.output, linear.rows, op.bias, op.out,
                          op.out_stride};
  const auto launch = op.num_tokens == 1   ? LaunchKernel<T, 1>
                      : op.num_tokens <= 4 ? LaunchKernel<T, 4>
                      : op.num_tokens <= 8 ? LaunchKernel<T, 8>
                                           : LaunchKernel<T, kMaxTokens>;
  launch(view, DenseBlocks(linear), out, stream);
}

}  // namespace

const char* LaunchDenseProduct(const QuatrainDenseProduct& op,
                               simt::Stream stream) {
  if (op.num_tokens == 0 || op.linear.rows == 0) return nullptr;
  if (op.output == kQuatrainGated)
    return "dense product: gate and up are gated by an operation of their own";
  switch (op.linear.dtype) {
    case kQuatrainF16:
      LaunchTokens<__half>(op, stream);
      return nullptr;
    case kQuatrainBF16:
      LaunchTokens<__nv_bfloat16>(op, stream);
      return nullptr;
    case kQuatrainF32:
      LaunchTokens<float>(op, stream);
      return nullptr;
    default:
      return "dense product: the weights are not f16, bf16 or f32";
  }
}

}  // namespace quatrain::cuda
