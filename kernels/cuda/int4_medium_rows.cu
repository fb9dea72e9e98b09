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
//           multiprocessor where registers allow. Where that leaves some idle
//           and there is scratch, up to 8 share the k of the same outputs.
// Numerics  docs/numerics.md, 2: exact.
// Roofline  bound by instructions from some 32 tokens. Read from sm_90a's SASS,
//           a warp issues 370 per block of k (32 outputs x 16 tokens; with one
//           digit 514 for 32 tokens) where all blocks are whole: 32 products of
//           m16n8k32, 48 to unpack their weights, 16 contributions of a dozen
//           each, 50 for the copies. So 64 tokens take three times as long as
//           an H200 needs to read the weights.

#include "kernels/cuda/int4_medium_split.cuh"
#include "kernels/cuda/int4_medium_tile.cuh"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

using namespace medium;

constexpr int kStages = 4;

// Blocks per multiprocessor: two where a thread's sums leave room for it.
template <int kDigits, int kRowTiles>
constexpr int kMinBlocks =
    kRowTiles* kTiles * 2 * kLaneTokens<kDigits> <= 16 ? 2 : 1;

template <int kDigits, int kRowTiles, bool kWide, bool kUniform>
__global__ void __launch_bounds__(kThreads, (kMinBlocks<kDigits, kRowTiles>))
    MediumKernel(ProductView op, BlockTable blocks, ProductOutput out,
                 Split split) {
  using S = Stage<kDigits, kRowTiles, kWide>;
  using Tile = WarpTile<kDigits, kRowTiles, kWide, kUniform>;
  SIMT_DYNAMIC_SHARED(shared);
  const int first_token = blockIdx.x * S::kTokens;
  const int first_tile = blockIdx.y * S::kBlockTiles;
  const int begin = split.begin(), end = split.end(blocks.size());
  const auto block = [&](int b) {
    return kUniform ? KBlock{0, kMaxBlock, b * kMaxPairs,
                             b * Int4RecordSize(kMaxBlock, kWide)}
                    : blocks[b];
  };
  const auto stage = [&](int b) { return S(shared + b % kStages * S::kBytes); };
  StageFetch<kDigits, kRowTiles, kWide, kUniform> copies(op, blocks, first_tile,
                                                         first_token);
  const auto fetch = [&](int b) {
    if (b < end) copies.Fetch(stage(b), block(b), b);
    ptx::cp_async_commit();  // empty at the end, so that the count stays right
  };

  for (int s = 0; s < kStages; ++s) stage(s).Carve();
  for (int s = 0; s < kStages - 1; ++s) fetch(begin + s);
  Tile tile(op, first_token);
  for (int b = begin; b < end; ++b) {
    ptx::cp_async_wait<kStages - 2>();
    __syncthreads();
    // Into the stage of block b - 1, which all have left.
    fetch(b + kStages - 1);
    tile.Add(stage(b), block(b).length, op.scale_dtype);
  }
  tile.StoreMarks(op, first_token);
  int64_t sums[Tile::kSums];
  tile.Sums(sums);
  if (gridDim.z > 1) {
    const SplitSums<Tile::kSums> splits(split);
    splits.Put(sums);
    if (!splits.IsLast()) return;
    splits.Totals(sums);
  }
  tile.Store(op, out, first_tile, first_token, sums);
}

struct MediumLaunch {
  ProductView view;
  BlockTable blocks;
  ProductOutput out;
  Split split;
  int num_splits;
};

template <int kDigits, int kRowTiles, bool kWide, bool kUniform>
void LaunchKernel(const MediumLaunch& op, simt::Stream stream) {
  using S = Stage<kDigits, kRowTiles, kWide>;
  const auto kernel = MediumKernel<kDigits, kRowTiles, kWide, kUniform>;
  const dim3 grid((op.view.num_tokens + S::kTokens - 1) / S::kTokens,
                  (op.view.num_tiles + S::kBlockTiles - 1) / S::kBlockTiles,
                  op.num_splits);
  simt::allow_dynamic_shared(kernel, kStages * S::kBytes);
  simt::launch(kernel, grid, dim3(kThreads), kStages * S::kBytes, stream,
               op.view, op.blocks, op.out, op.split);
}

template <int kDigits, int kRowTiles>
void LaunchTiles(const MediumLaunch& op, bool wide, simt::Stream stream) {
  const auto launch = wide ? LaunchKernel<kDigits, kRowTiles, true, false>
                      : op.blocks.is_uniform()
                          ? LaunchKernel<kDigits, kRowTiles, false, true>
                          : LaunchKernel<kDigits, kRowTiles, false, false>;
  launch(op, stream);
}

template <int kDigits>
void LaunchRowTiles(const MediumLaunch& op, int row_tiles, bool wide,
                    simt::Stream stream) {
  (row_tiles == 1 ? LaunchTiles<kDigits, 1> : LaunchTiles<kDigits, 2>)(op, wide,
                                                                       stream);
}

Split SplitOf(void* scratch, int split_blocks, int num_sms, int num_digits) {
  if (scratch == nullptr) return {split_blocks, nullptr, nullptr};
  unsigned char* parts = static_cast<unsigned char*>(scratch) +
                         MediumScratch(num_sms, num_digits).parts_at;
  return {split_blocks, static_cast<unsigned*>(scratch),
          reinterpret_cast<int64_t*>(parts)};
}

}  // namespace

const char* LaunchMediumRows(const QuatrainProduct& op, int num_sms,
                             simt::Stream stream) {
  const int num_digits = op.x.num_digits;
  const ProductView view = ViewOf(op);
  const MediumPlan plan = PlanMedium(
      {op.num_tokens, view.num_tiles, op.linear.num_blocks, num_digits},
      num_sms, op.scratch != nullptr);
  const MediumLaunch launch{
      view, Int4Blocks(op.linear), OutputOf(op),
      SplitOf(op.scratch, plan.split_blocks, num_sms, num_digits),
      plan.num_splits};
  (num_digits == 2 ? LaunchRowTiles<2>
                   : LaunchRowTiles<1>)(launch, plan.row_tiles,
                                        op.linear.scale_dtype == kQuatrainF32,
                                        stream);
  return nullptr;
}

}  // namespace quatrain::cuda
