// Int4 linear for some 17 to 256 tokens in the default mode: nibbles as f16 or
// bf16 operands, corrected afterwards.
//
//   out[t, n] = f(2^e[t] * sum over blocks of s * sum over k of (q - z) x')
//
// Shapes    records of int4_record.h; x' by half_rows.cu; out: by role,
//           table.h. Any number of tokens.
// Launch    (tokens / 64, outputs / 128) blocks of 8 warps, 2 by 4: a warp has
//           32 tokens and 32 outputs; half of either in smaller forms
//           (int4_half_plan.h). Dynamic shared memory: kStages blocks of k, 26
//           KB each; two blocks of threads share a multiprocessor.
// Numerics  Not the bits of docs/numerics.md. A nibble q goes into the products
//           as base + q (int4_half_mma.cuh), which is exact; a block's sums
//           start at -(sum of base x' + z * sum of x'), so that what comes out
//           is sum of (q - z) x'. Activations are rounded to f16 or bf16 once;
//           sums are f32, in the tensor cores' order within a block of k.
// Roofline  bound by memory up to some 32 tokens, then by instructions and
//           tensor cores alike. Read from sm_90a's SASS, a warp issues 366 per
//           block of k (32 outputs x 32 tokens; 256 for 16 tokens; with bf16
//           383 and 287) where all blocks are whole: 64 (32) products of
//           m16n8k16, 80 to make nibbles operands, 64 (32) to start and to
//           scale sums, 32 (22) loads from shared memory, 50 for the copies. So
//           64 tokens take some 1.6 times as long as an H200 needs to read the
//           weights, where int4_medium_rows.cu takes three times as long.

#include <string>

#include "kernels/cuda/dequant_launchers.h"
#include "kernels/cuda/int4_half_tile.cuh"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

using namespace half_tile;

// Two blocks of the largest form fit a chip with 164 KB, one fits one with 99.
constexpr int kStages = 3;
static_assert(kStages * Stage<2, 4, true>::kBytes <= 82 * 1024);

// Blocks per multiprocessor: two where registers allow it.
template <int kRowTiles, int kColTiles, bool kWide>
constexpr int kMinBlocks = kRowTiles* kColTiles == 8 && kWide ? 1 : 2;

template <typename Nibbles, int kRowTiles, int kColTiles, bool kWide,
          bool kUniform>
__global__ void __launch_bounds__(kThreads,
                                  (kMinBlocks<kRowTiles, kColTiles, kWide>))
    HalfKernel(HalfView op, BlockTable blocks, FloatOutput out) {
  using S = Stage<kRowTiles, kColTiles, kWide>;
  SIMT_DYNAMIC_SHARED(shared);
  const int first_token = blockIdx.x * S::kTokens;
  const int first_tile = blockIdx.y * S::kTiles;
  const auto block = [&](int b) {
    return kUniform ? KBlock{0, kMaxBlock, b * kMaxPairs,
                             b * Int4RecordSize(kMaxBlock, kWide)}
                    : blocks[b];
  };
  const auto stage = [&](int b) { return S(shared + b % kStages * S::kBytes); };
  StageFetch<kRowTiles, kColTiles, kWide, kUniform> copies(op, first_tile,
                                                           first_token);
  const auto fetch = [&](int b) {
    if (b < blocks.size()) copies.Fetch(stage(b), block(b), b);
    ptx::cp_async_commit();  // empty at the end, so that the count stays right
  };

  for (int s = 0; s < kStages; ++s) stage(s).Carve();
  for (int s = 0; s < kStages - 1; ++s) fetch(s);
  WarpTile<Nibbles, kRowTiles, kColTiles, kWide, kUniform> tile;
  for (int b = 0; b < blocks.size(); ++b) {
    ptx::cp_async_wait<kStages - 2>();
    __syncthreads();
    // Into the stage of block b - 1, which all have left.
    fetch(b + kStages - 1);
    tile.Add(stage(b), block(b).length);
  }
  tile.Store(op, out, first_tile, first_token);
}

struct HalfLaunch {
  HalfView view;
  BlockTable blocks;
  FloatOutput out;
  int scale_dtype;
};

template <typename Nibbles, int kRowTiles, int kColTiles, bool kWide,
          bool kUniform>
void LaunchKernel(const HalfLaunch& op, simt::Stream stream) {
  using S = Stage<kRowTiles, kColTiles, kWide>;
  const auto kernel =
      HalfKernel<Nibbles, kRowTiles, kColTiles, kWide, kUniform>;
  const dim3 grid((op.view.num_tokens + S::kTokens - 1) / S::kTokens,
                  (op.view.num_tiles + S::kTiles - 1) / S::kTiles);
  simt::allow_dynamic_shared(kernel, kStages * S::kBytes);
  simt::launch(kernel, grid, dim3(kThreads), kStages * S::kBytes, stream,
               op.view, op.blocks, op.out);
}

template <int kRowTiles, int kColTiles>
void LaunchTiles(const HalfLaunch& op, simt::Stream stream) {
  const bool uniform = op.blocks.is_uniform();
  const auto launch =
      op.scale_dtype == kQuatrainF32
          ? LaunchKernel<F16Nibbles, kRowTiles, kColTiles, true, false>
      : op.scale_dtype == kQuatrainBF16
          ? uniform
                ? LaunchKernel<BF16Nibbles, kRowTiles, kColTiles, false, true>
                : LaunchKernel<BF16Nibbles, kRowTiles, kColTiles, false, false>
      : uniform ? LaunchKernel<F16Nibbles, kRowTiles, kColTiles, false, true>
                : LaunchKernel<F16Nibbles, kRowTiles, kColTiles, false, false>;
  launch(op, stream);
}

void LaunchPlanned(const HalfLaunch& op, simt::Stream stream) {
  const HalfPlan plan =
      PlanHalf(op.view.num_tokens, op.view.num_tiles, runtime::NumSms());
  const auto launch = plan.col_tiles == 4   ? LaunchTiles<2, 4>
                      : plan.row_tiles == 2 ? LaunchTiles<2, 2>
                                            : LaunchTiles<1, 2>;
  launch(op, stream);
}

}  // namespace

int LaunchHalfProduct(const QuatrainDequantProduct& op, QuatrainStream stream) {
  const QuatrainInt4& linear = op.linear;
  if (op.num_tokens == 0 || linear.rows == 0) return kQuatrainOk;
  if (linear.num_blocks == 0)
    return runtime::Fail(kQuatrainBadArgument,
                         "half product: the linear has no K");
  const HalfScratch at(op.num_tokens, linear.num_pairs, linear.num_blocks);
  if (op.scratch_bytes < at.total)
    return runtime::Fail(kQuatrainBadArgument,
                         "half product: the scratch has " +
                             std::to_string(op.scratch_bytes) + " bytes of " +
                             std::to_string(at.total));
  unsigned char* scratch = static_cast<unsigned char*>(op.scratch);
  float* scales = reinterpret_cast<float*>(scratch + at.scales);
  float2* corrections = reinterpret_cast<float2*>(scratch + at.corrections);
  const simt::Stream on = runtime::ToStream(stream);
  LaunchHalfRowsForNibbles(op, scratch + at.x, scales, corrections, at.pitch,
                           on);
  LaunchPlanned(
      {{static_cast<const unsigned char*>(linear.tiles), linear.tile_bytes,
        (linear.rows + kTileRows - 1) / kTileRows, scratch + at.x, corrections,
        at.pitch, scales, linear.num_pairs, op.num_tokens},
       Int4Blocks(linear),
       OutputOf(op),
       linear.scale_dtype},
      on);
  return kQuatrainOk;
}

}  // namespace quatrain::cuda
