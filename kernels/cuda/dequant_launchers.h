#pragma once

#include "kernels/cuda/simt.h"
#include "kernels/cuda/table.h"

// The kernels behind LaunchDequantProduct and LaunchHalfProduct.
namespace quatrain::cuda {

// x as f16 or bf16 to `out`, [num_tokens, 64 * num_pairs], and 2^e per token to
// `scales`; sets op.marks.
void LaunchHalfRows(const QuatrainDequantProduct& op, void* out, float* scales,
                    simt::Stream stream);
// The same in the order that the product of nibbles wants (int4_half_mma.cuh),
// and its corrections, [num_blocks][correction_pitch].
void LaunchHalfRowsForNibbles(const QuatrainDequantProduct& op, void* out,
                              float* scales, float2* corrections,
                              int64_t correction_pitch, simt::Stream stream);

// Tiles [first_tile, last_tile) as f16 or bf16 to `out`, a row per output of
// the tiles, 64 * num_pairs wide.
void LaunchDequantize(const QuatrainInt4& linear, int first_tile, int last_tile,
                      void* out, simt::Stream stream);

// What becomes of y, f32 [num_tokens, outputs of the tiles].
void LaunchFinishProduct(const QuatrainDequantProduct& op, int first_tile,
                         int last_tile, const float* y, const float* scales,
                         simt::Stream stream);

}  // namespace quatrain::cuda
