// Dense linear of f16, bf16 or f32 weights, exact: the head, and linears that
// were not quantized.
//
//   out[t, n] = f(sum over blocks of round(chain of fma over the block's k))
//
// Shapes    weights: tiles of 32 outputs, int4_record.h. x: f32
//           [num_tokens, K].
// Launch    (outputs / 32, tokens / 16) blocks of 8 warps; a lane is an
//           output, the warps share the blocks of k and add up in shared
//           memory.
// Numerics  docs/numerics.md, 2: exact. k ascends inside a block, outputs go
//           across lanes, so no order is left to choose.
// Roofline  memory bound up to some 8 tokens: 16 bytes per lane and load, two
//           groups of kGroup loads in flight; then bound by f32 multiply-adds.
//           x comes from the first-level cache, 16 bytes for all lanes at once.

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/product_output.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/widen.cuh"

namespace quatrain::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kGroup = 4;  // chunks of 16 bytes that a lane loads together
constexpr int kMaxTokens = 16;

struct DenseView {
  const unsigned char* tiles;
  int64_t tile_bytes;
  const float* x;
  int64_t x_stride;
  bool x_in_quads;  // rows begin at a multiple of 16 bytes
  const int32_t* x_marks;
  int num_tokens;
  int32_t* marks;
};

// A warp's way through its blocks of k, a group of chunks at a time.
template <typename T>
struct Cursor {
  static constexpr int kElements = kChunkBytes / static_cast<int>(sizeof(T));

  int b;
  int chunk;
  KBlock block;

  __device__ void Enter(const BlockTable& blocks, int to) {
    b = to;
    chunk = 0;
    if (b < blocks.size()) block = blocks[b];
  }
  __device__ bool AtLastGroup() const {
    return (chunk + kGroup) * kElements >= block.length;
  }
  __device__ void Advance(const BlockTable& blocks) {
    if (AtLastGroup())
      Enter(blocks, b + kWarps);
    else
      chunk += kGroup;
  }
};

template <typename T>
__device__ void LoadGroup(const Cursor<T>& at, const BlockTable& blocks,
                          const unsigned char* tile, uint4 (&to)[kGroup]) {
  if (at.b >= blocks.size()) return;
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < kGroup; ++i)
    if ((at.chunk + i) * Cursor<T>::kElements < at.block.length)
      to[i] = ptx::load_stream16(tile + at.block.offset +
                                 ((at.chunk + i) * kDenseTileRows + lane) *
                                     kChunkBytes);
}

// x[0, count) of one token, the same for all lanes. kWhole: as many as a chunk
// has, 16 bytes at a time, since one at a time would take as many instructions
// as multiplying.
template <bool kWhole, int kElements>
__device__ void LoadX(const float* x, int count, float (&to)[kElements]) {
  if constexpr (kWhole) {
#pragma unroll
    for (int e = 0; e < kElements; e += 4) {
      const float4 four = __ldg(reinterpret_cast<const float4*>(x + e));
      to[e] = four.x;
      to[e + 1] = four.y;
      to[e + 2] = four.z;
      to[e + 3] = four.w;
    }
  } else {
#pragma unroll
    for (int e = 0; e < kElements; ++e) to[e] = e < count ? __ldg(x + e) : 0.0f;
  }
}

// Multiplies one lane's chunk with every token, k ascending.
template <bool kWhole, typename T, int kTokens>
__device__ void MultiplyChunk(const DenseView& op, int first_token, int k,
                              int count, const uint4& chunk,
                              float (&c)[kTokens]) {
  constexpr int kElements = Cursor<T>::kElements;
  const T* w = reinterpret_cast<const T*>(&chunk);
#pragma unroll
  for (int i = 0; i < kTokens; ++i) {
    if (first_token + i >= op.num_tokens) break;
    float x[kElements];
    LoadX<kWhole>(op.x + (first_token + i) * op.x_stride + k, count, x);
#pragma unroll
    for (int e = 0; e < kElements; ++e)
      if (kWhole || e < count) c[i] = __fmaf_rn(x[e], Widen(w[e]), c[i]);
  }
}

// One lane's sums over its warp's blocks, for every token.
template <typename T, int kTokens>
__device__ uint32_t SumBlocks(const DenseView& op, const BlockTable& blocks,
                              const unsigned char* tile, int first_token,
                              ExactSum (&sums)[kTokens]) {
  constexpr int kElements = Cursor<T>::kElements;
  uint32_t marked = 0;
  Cursor<T> at;
  at.Enter(blocks, threadIdx.x / 32);
  uint4 next[kGroup];
  LoadGroup(at, blocks, tile, next);
  float c[kTokens] = {};
  while (at.b < blocks.size()) {
    uint4 now[kGroup];
#pragma unroll
    for (int i = 0; i < kGroup; ++i) now[i] = next[i];
    Cursor<T> following = at;
    following.Advance(blocks);
    LoadGroup(following, blocks, tile, next);
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      const int k = at.block.begin + (at.chunk + i) * kElements;
      const int count = at.block.begin + at.block.length - k;
      if (count >= kElements && op.x_in_quads && k % 4 == 0)
        MultiplyChunk<true, T>(op, first_token, k, count, now[i], c);
      else if (count > 0)
        MultiplyChunk<false, T>(op, first_token, k, count, now[i], c);
    }
    if (following.b != at.b) {
#pragma unroll
      for (int i = 0; i < kTokens; ++i) {
        if (!sums[i].AddChecked(c[i])) marked |= 1u << i;
        c[i] = 0.0f;
      }
    }
    at = following;
  }
  return marked;
}

template <typename T, int kTokens>
__global__ void __launch_bounds__(kWarps * 32, kTokens == 1   ? 4
                                               : kTokens == 4 ? 2
                                                              : 1)
    DenseKernel(DenseView op, BlockTable blocks, ProductOutput out) {
  SIMT_SHARED(int64_t, shared, [kWarps][kTokens][kDenseTileRows]);
  const int first_token = blockIdx.y * kMaxTokens;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const unsigned char* tile = op.tiles + blockIdx.x * op.tile_bytes;
  ExactSum sums[kTokens];
#pragma unroll
  for (int i = 0; i < kTokens; ++i) sums[i].Clear();
  const uint32_t marked =
      SumBlocks<T, kTokens>(op, blocks, tile, first_token, sums);
#pragma unroll
  for (int i = 0; i < kTokens; ++i) {
    shared[warp][i][lane] = sums[i].Value(false);
    const int token = first_token + i;
    if (token < op.num_tokens &&
        (((marked >> i) & 1) != 0 ||
         (op.x_marks != nullptr && op.x_marks[token] != 0)))
      atomicOr(&op.marks[token], 1);
  }
  __syncthreads();
  for (int i = warp; i < kTokens; i += kWarps) {
    if (first_token + i >= op.num_tokens) continue;
    uint64_t sum = 0;
    for (int w = 0; w < kWarps; ++w)
      sum += static_cast<uint64_t>(shared[w][i][lane]);
    out.Store(static_cast<int64_t>(sum), first_token + i,
              blockIdx.x * kDenseTileRows + lane);
  }
}

template <typename T>
void LaunchTokens(const QuatrainDenseProduct& op, simt::Stream stream) {
  const QuatrainDense& linear = op.linear;
  const DenseView view{
      static_cast<const unsigned char*>(linear.tiles),
      linear.tile_bytes,
      op.x,
      op.x_stride,
      reinterpret_cast<uintptr_t>(op.x) % 16 == 0 && op.x_stride % 4 == 0,
      op.x_marks,
      op.num_tokens,
      op.marks};
  const ProductOutput out{op.output, linear.rows, op.bias, op.out,
                          op.out_stride};
  const dim3 grid((linear.rows + kDenseTileRows - 1) / kDenseTileRows,
                  (op.num_tokens + kMaxTokens - 1) / kMaxTokens);
  const auto kernel = op.num_tokens == 1   ? DenseKernel<T, 1>
                      : op.num_tokens <= 4 ? DenseKernel<T, 4>
                                           : DenseKernel<T, kMaxTokens>;
  simt::launch(kernel, grid, dim3(kWarps * 32), 0, stream, view,
               DenseBlocks(linear), out);
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
