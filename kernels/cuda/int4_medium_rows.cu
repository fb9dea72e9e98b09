// Int4 linear for many tokens, exact: tiles of 128 (or 64) outputs by 32 tokens
// (64 with one digit) through a pipeline of asynchronous copies.
//
//   out[t, n] = f(sum over blocks of round(float(sum (q - z) xi) * a * s))
//
// Shapes    weights, digits: int4_record.h; any number of tokens. out: by role,
//           table.h.
// Launch    (tokens / 32, outputs / 128) blocks of 8 warps, 4 by 2: a warp has
//           32 (16) outputs and 16 (32) tokens. Dynamic shared memory: kStages
//           blocks of k, 17 KB each; two blocks of threads share a
//           multiprocessor where registers allow.
// Numerics  docs/numerics.md, 2: exact.
// Roofline  bound by instructions from some 32 tokens. Read from sm_90a's SASS,
//           a warp issues 370 per block of k (32 outputs x 16 tokens; with one
//           digit 514 for 32 tokens) where all blocks are whole: 32 products of
//           m16n8k32, 48 to unpack their weights, 16 contributions of a dozen
//           each, 50 for the copies. So 64 tokens take three times as long as
//           an H200 needs to read the weights.

#include "kernels/cuda/int4_stage.cuh"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/product_output.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

using namespace medium;

constexpr int kStages = 4;

// One warp's part of the block's tile.
template <int kDigits, int kRowTiles, bool kWide, bool kUniform>
class WarpTile {
 public:
  using S = Stage<kDigits, kRowTiles, kWide>;
  static constexpr int kEach = kLaneTokens<kDigits>;

  __device__ WarpTile(const ProductView& op, int first_token)
      : first_tile_(threadIdx.x / 32 % kWarpRows * kRowTiles),
        warp_token_(threadIdx.x / 32 / kWarpRows * kTiles *
                    kTokensPerTile<kDigits>) {
    bool small = true;
    for (int n = 0; n < kTiles; ++n)
      for (int i = 0; i < kEach; ++i) {
        const int token = first_token + Token(n, i);
        small = small && (token >= op.num_tokens ||
                          op.states[token] == kQuatrainRowSmall);
        for (int r = 0; r < kRowTiles; ++r) sums_[r][n].Clear();
      }
    small_ = __all_sync(0xffffffffu, small) != 0;
  }

  // Adds one block of k.
  __device__ __forceinline__ void Add(const S& stage, int length,
                                      int scale_dtype) {
    if (kUniform) length = kMaxBlock;
    int32_t d[kRowTiles][kTiles][4] = {};
    const int whole = WholePairs(length);
#pragma unroll
    for (int p = 0; p < kMaxPairs; ++p) {
      if (kUniform || p < whole)
        MultiplyAll<true>(stage, p, d);
      else if (p < NumPairs(length))
        MultiplyAll<false>(stage, p, d);
    }
    if (small_)
      AddContributions<true>(stage, length, scale_dtype, d);
    else
      AddContributions<false>(stage, length, scale_dtype, d);
  }

  __device__ void Store(const ProductView& op, const ProductOutput& out,
                        int block_tile, int first_token) const {
    const int g = threadIdx.x % 32 / 4;
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const int token = first_token + Token(n, i);
        if (token >= op.num_tokens) continue;
        if (((marked_ >> (n * kEach + i)) & 1) != 0)
          atomicOr(&op.marks[token], 1);
#pragma unroll
        for (int r = 0; r < kRowTiles; ++r) {
          const int tile = block_tile + first_tile_ + r;
          const int64_t low = sums_[r][n].sums[0][i].Value(small_);
          const int64_t high = sums_[r][n].sums[1][i].Value(small_);
          if (out.kind == kQuatrainGated) {
            out.StoreGated(low, high, token, tile, g);
          } else {
            out.Store(low, token, tile * kTileRows + g);
            out.Store(high, token, tile * kTileRows + g + kTileRows / 2);
          }
        }
      }
  }

 private:
  // Within the block's tokens.
  __device__ int Token(int n, int i) const {
    const int t = threadIdx.x % 4;
    return warp_token_ + n * kTokensPerTile<kDigits> +
           (kDigits == 2 ? t : 2 * t + i);
  }

  template <bool kWhole>
  __device__ void MultiplyAll(const S& stage, int p,
                              int32_t (&d)[kRowTiles][kTiles][4]) const {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    uint4 words[kRowTiles];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const unsigned char* at = stage.record(first_tile_ + r) + p * kPairBytes;
      words[r] =
          kWhole ? Load16(at + lane * kChunkBytes) : Load8(at + lane * 8);
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      const int token = warp_token_ + n * kTokensPerTile<kDigits> +
                        (kDigits == 2 ? g / 2 : g);
      const uint4 x = *reinterpret_cast<const uint4*>(
          stage.digits(token) + p * kDigits * kPairK +
          (kDigits == 2 ? g % 2 * kPairK : 0) + t * kChunkBytes);
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        if (kWhole)
          MultiplyPair(words[r], x, d[r][n]);
        else
          MultiplyHalfPair(words[r], x, d[r][n]);
      }
    }
  }

  template <bool kSmall>
  __device__ __forceinline__ void AddContributions(
      const S& stage, int length, int scale_dtype,
      const int32_t (&d)[kRowTiles][kTiles][4]) {
    const int g = threadIdx.x % 32 / 4;
    RowHeader headers[kRowTiles];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const unsigned char* at =
          stage.record(first_tile_ + r) + WeightBytes(length);
      headers[r] = ReadHeader<kWide>(
          kWide ? Load16(at + g * 16) : Load8(at + g * 8), scale_dtype);
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      TokenBlock tokens[kEach];
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const float2 block =
            *reinterpret_cast<const float2*>(stage.token_block(Token(n, i)));
        tokens[i] = {block.x, __float_as_int(block.y)};
      }
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r)
        marked_ |= sums_[r][n].template Add<kSmall>(d[r][n], headers[r], tokens)
                   << (n * kEach);
    }
  }

  int first_tile_;  // of the warp, within the block's tiles
  int warp_token_;  // within the block's tokens
  bool small_;      // the contributions of all the warp's tokens
  uint32_t marked_ = 0;
  TileSums<kDigits> sums_[kRowTiles][kTiles];
};

// Blocks per multiprocessor: two where a thread's sums leave room for it.
template <int kDigits, int kRowTiles>
constexpr int kMinBlocks =
    kRowTiles* kTiles * 2 * kLaneTokens<kDigits> <= 16 ? 2 : 1;

template <int kDigits, int kRowTiles, bool kWide, bool kUniform>
__global__ void __launch_bounds__(kThreads, (kMinBlocks<kDigits, kRowTiles>))
    MediumKernel(ProductView op, BlockTable blocks, ProductOutput out) {
  using S = Stage<kDigits, kRowTiles, kWide>;
  SIMT_DYNAMIC_SHARED(shared);
  const int first_token = blockIdx.x * S::kTokens;
  const int first_tile = blockIdx.y * S::kBlockTiles;
  const int num_blocks = blocks.size();
  const auto block = [&](int b) {
    return kUniform ? KBlock{0, kMaxBlock, b * kMaxPairs,
                             b * Int4RecordSize(kMaxBlock, kWide)}
                    : blocks[b];
  };
  const auto stage = [&](int b) { return S(shared + b % kStages * S::kBytes); };
  StageFetch<kDigits, kRowTiles, kWide, kUniform> copies(op, blocks, first_tile,
                                                         first_token);
  const auto fetch = [&](int b) {
    if (b < num_blocks) copies.Fetch(stage(b), block(b), b);
    ptx::cp_async_commit();  // empty at the end, so that the count stays right
  };

  for (int s = 0; s < kStages; ++s) stage(s).Carve();
  for (int b = 0; b < kStages - 1; ++b) fetch(b);
  WarpTile<kDigits, kRowTiles, kWide, kUniform> tile(op, first_token);
  for (int b = 0; b < num_blocks; ++b) {
    ptx::cp_async_wait<kStages - 2>();
    __syncthreads();
    // Into the stage of block b - 1, which all have left.
    fetch(b + kStages - 1);
    tile.Add(stage(b), block(b).length, op.scale_dtype);
  }
  tile.Store(op, out, first_tile, first_token);
}

template <int kDigits, int kRowTiles, bool kWide, bool kUniform>
void LaunchKernel(const ProductView& view, const BlockTable& blocks,
                  const ProductOutput& out, simt::Stream stream) {
  using S = Stage<kDigits, kRowTiles, kWide>;
  const auto kernel = MediumKernel<kDigits, kRowTiles, kWide, kUniform>;
  const dim3 grid((view.num_tokens + S::kTokens - 1) / S::kTokens,
                  (view.num_tiles + S::kBlockTiles - 1) / S::kBlockTiles);
  simt::allow_dynamic_shared(kernel, kStages * S::kBytes);
  simt::launch(kernel, grid, dim3(kThreads), kStages * S::kBytes, stream, view,
               blocks, out);
}

template <int kDigits, int kRowTiles>
void LaunchTiles(const ProductView& view, const BlockTable& blocks,
                 const ProductOutput& out, bool wide, simt::Stream stream) {
  const auto launch = wide ? LaunchKernel<kDigits, kRowTiles, true, false>
                      : blocks.is_uniform()
                          ? LaunchKernel<kDigits, kRowTiles, false, true>
                          : LaunchKernel<kDigits, kRowTiles, false, false>;
  launch(view, blocks, out, stream);
}

template <int kDigits>
void LaunchRowTiles(const QuatrainProduct& op, int num_sms,
                    simt::Stream stream) {
  const ProductView view = ViewOf(op);
  const int blocks_of_128 = (view.num_tokens + kBlockTokens<kDigits> - 1) /
                            kBlockTokens<kDigits> * ((view.num_tiles + 7) / 8);
  // Smaller tiles where large ones would leave half of the chip idle.
  const auto launch = blocks_of_128 < num_sms ? LaunchTiles<kDigits, 1>
                                              : LaunchTiles<kDigits, 2>;
  launch(view, Int4Blocks(op.linear), OutputOf(op),
         op.linear.scale_dtype == kQuatrainF32, stream);
}

}  // namespace

const char* LaunchMediumRows(const QuatrainProduct& op, int num_sms,
                             simt::Stream stream) {
  (op.x.num_digits == 2 ? LaunchRowTiles<2> : LaunchRowTiles<1>)(op, num_sms,
                                                                 stream);
  return nullptr;
}

}  // namespace quatrain::cuda
