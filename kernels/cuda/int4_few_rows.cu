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

#include "kernels/cuda/digits.cuh"
#include "kernels/cuda/int4_mma.cuh"
#include "kernels/cuda/launchers.h"
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
constexpr int kSumPitch = 20;  // 16 outputs and room against bank conflicts

// One record on its way.
struct Record {
  uint4 words[kMaxPairs];
  uint4 header;
};

template <bool kWide>
__device__ void LoadRecord(const unsigned char* record, int length,
                           Record& to) {
  const int lane = threadIdx.x % 32;
  const int whole = WholePairs(length);
#pragma unroll
  for (int p = 0; p < kMaxPairs; ++p)
    if (p < whole)
      to.words[p] =
          ptx::load_stream16(record + p * kPairBytes + lane * kChunkBytes);
  if (whole < NumPairs(length)) {
    const uint2 half =
        ptx::load_stream8(record + whole * kPairBytes + lane * 8);
#pragma unroll
    for (int p = 0; p < kMaxPairs; ++p)  // a register's number must be known
      if (p == whole) to.words[p] = {half.x, half.y, 0, 0};
  }
  const unsigned char* header = record + WeightBytes(length);
  if (kWide) {
    to.header = ptx::load_stream16(header + lane / 4 * 16);
  } else {
    const uint2 narrow = ptx::load_stream8(header + lane / 4 * 8);
    to.header = {narrow.x, narrow.y, 0, 0};
  }
}

// The tokens of one kernel, in tiles of 8 columns, as a lane sees them.
template <int kDigits, int kTiles>
struct LaneTokens {
  static constexpr int kEach = kLaneTokens<kDigits>;
  bool small[kTiles][kEach];
  uint32_t marked = 0;

  __device__ static int Token(int tile, int i) {
    const int t = threadIdx.x % 4;
    return tile * kTokensPerTile<kDigits> + (kDigits == 2 ? t : 2 * t + i);
  }

  __device__ explicit LaneTokens(const ProductView& op) {
    for (int n = 0; n < kTiles; ++n)
      for (int i = 0; i < kEach; ++i) {
        const int token = Token(n, i);
        small[n][i] =
            token >= op.num_tokens || op.states[token] == kQuatrainRowSmall;
      }
  }

  // Sets the marks of the tokens that met something too large.
  __device__ void StoreMarks(const ProductView& op) const {
    if (marked == 0) return;
    for (int n = 0; n < kTiles; ++n)
      for (int i = 0; i < kEach; ++i)
        if (((marked >> (n * kEach + i)) & 1) != 0)
          atomicOr(&op.marks[Token(n, i)], 1);
  }
};

// This lane's 16 digits of one pair and tile of columns; 0 past the tokens.
template <int kDigits, bool kFused>
__device__ uint4 LoadDigits(const ProductView& op, int tile, int pair) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int token = tile * kTokensPerTile<kDigits> + (kDigits == 2 ? g / 2 : g);
  if (token >= op.num_tokens) return {0, 0, 0, 0};
  const size_t at =
      (static_cast<size_t>(token) * op.num_pairs + pair) * kDigits * kPairK +
      (kDigits == 2 ? g % 2 * kPairK : 0) + t * kChunkBytes;
  const uint4* from = reinterpret_cast<const uint4*>(op.digits + at);
  return kFused ? *from : __ldg(from);
}

template <int kDigits, bool kFused>
__device__ void LoadTokenBlocks(const ProductView& op, int num_blocks, int b,
                                int tile,
                                TokenBlock (&to)[kLaneTokens<kDigits>]) {
#pragma unroll
  for (int i = 0; i < kLaneTokens<kDigits>; ++i) {
    const int token =
        LaneTokens<kDigits, 1>::Token(0, i) + tile * kTokensPerTile<kDigits>;
    to[i] = {0.0f, 0};
    if (token >= op.num_tokens) continue;
    const int2* from = reinterpret_cast<const int2*>(
        op.digit_blocks + static_cast<size_t>(token) * num_blocks + b);
    const int2 block = kFused ? *from : __ldg(from);
    to[i] = {__int_as_float(block.x), block.y};
  }
}

template <int kDigits, int kTiles, bool kWide, bool kFused>
__device__ void AddRecord(const ProductView& op, const Record& record,
                          KBlock block, int b, int num_blocks,
                          LaneTokens<kDigits, kTiles>& tokens,
                          TileSums<kDigits> (&sums)[kTiles]) {
  const RowHeader header = ReadHeader<kWide>(record.header, op.scale_dtype);
  const int whole = WholePairs(block.length);
  const int pairs = NumPairs(block.length);
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
    int32_t d[4] = {0, 0, 0, 0};
#pragma unroll
    for (int p = 0; p < kMaxPairs; ++p) {
      if (p >= pairs) continue;
      const uint4 x = LoadDigits<kDigits, kFused>(op, n, block.first_pair + p);
      if (p < whole)
        MultiplyPair(record.words[p], x, d);
      else
        MultiplyHalfPair(record.words[p], x, d);
    }
    TokenBlock token_blocks[kLaneTokens<kDigits>];
    LoadTokenBlocks<kDigits, kFused>(op, num_blocks, b, n, token_blocks);
    tokens.marked |= sums[n].Add(d, header, token_blocks, tokens.small[n])
                     << (n * kLaneTokens<kDigits>);
  }
}

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
        shared[token * kSumPitch + g + 8 * r] =
            sums[n].sums[r][i].Value(tokens.small[n][i]);
    }
}

// One output of one token, over all warps.
__device__ int64_t SumOverWarps(const int64_t* shared, int warp_pitch,
                                int token, int row) {
  uint64_t sum = 0;
  for (int w = 0; w < kWarps; ++w)
    sum +=
        static_cast<uint64_t>(shared[w * warp_pitch + token * kSumPitch + row]);
  return static_cast<int64_t>(sum);
}

__device__ void StoreTile(const ProductOutput& out, const int64_t* shared,
                          int warp_pitch, int num_tokens, int tile) {
  const int row = threadIdx.x % kTileRows;
  for (int token = threadIdx.x / kTileRows; token < num_tokens;
       token += kWarps * 32 / kTileRows) {
    const int64_t sum = SumOverWarps(shared, warp_pitch, token, row);
    if (out.kind != kQuatrainGated)
      out.Store(sum, token, tile * kTileRows + row);
    else if (row < kTileRows / 2)
      out.StoreGated(
          sum, SumOverWarps(shared, warp_pitch, token, row + kTileRows / 2),
          token, tile, row);
  }
}

// The digits that a block of threads makes for itself, in dynamic shared
// memory.
template <int kDigits>
struct OwnDigits {
  int64_t blocks_at, states_at, bytes;

  __host__ __device__ OwnDigits(int tokens, int num_pairs, int num_blocks)
      : blocks_at(int64_t{tokens} * num_pairs * kDigits * kPairK +
                  static_cast<int64_t>(simt::kRedzone)),
        states_at(blocks_at +
                  int64_t{tokens} * num_blocks *
                      static_cast<int64_t>(sizeof(QuatrainDigitBlock)) +
                  static_cast<int64_t>(simt::kRedzone)),
        bytes(states_at + tokens * static_cast<int64_t>(sizeof(int32_t)) +
              static_cast<int64_t>(simt::kRedzone)) {}

  // Makes the digits of all tokens and points `op` at them.
  __device__ void Make(const RowSource& source, const BlockTable& blocks,
                       unsigned char* shared, ProductView& op) const {
    SIMT_SHARED(float, sums, [128]);
    SIMT_SHARED(uint32_t, row_max, [kDigitWarps]);
    simt::carve(shared, blocks_at - simt::kRedzone);
    simt::carve(shared + blocks_at, states_at - blocks_at - simt::kRedzone);
    simt::carve(shared + states_at, bytes - states_at - simt::kRedzone);
    int8_t* digits = reinterpret_cast<int8_t*>(shared);
    QuatrainDigitBlock* digit_blocks =
        reinterpret_cast<QuatrainDigitBlock*>(shared + blocks_at);
    int32_t* states = reinterpret_cast<int32_t*>(shared + states_at);
    for (int token = 0; token < op.num_tokens; ++token) {
      const Row row = source.Open(token, sums);
      const int state = MakeRow<kDigits>(
          source, row, blocks, digits + token * op.num_pairs * kDigits * kPairK,
          digit_blocks + token * blocks.size(), row_max);
      if (threadIdx.x == 0) {
        states[token] = state;
        if (blockIdx.x == 0 && state == kQuatrainRowNotFinite)
          atomicOr(&op.marks[token], 1);
      }
      __syncthreads();
    }
    op.digits = digits;
    op.digit_blocks = digit_blocks;
    op.states = states;
  }
};

template <int kDigits, int kTiles, bool kWide, bool kFused>
__global__ void __launch_bounds__(kWarps * 32, 2)
    FewRowsKernel(ProductView op, BlockTable blocks, ProductOutput out,
                  RowSource source) {
  constexpr int kTokens = kTiles * kTokensPerTile<kDigits>;
  constexpr int kWarpPitch = kTokens * kSumPitch;
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
    StoreTile(out, shared[buffer], kWarpPitch, op.num_tokens, tile);
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
