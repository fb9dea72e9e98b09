// Activations as integers of two digits (or one) per block of k.
//
//   a = max|x| / 32639, xi = round_half_even(x / a) = 256 * high + low
//
// Shapes    x: [num_tokens, x_stride] f32. out: int4_record.h, with a and the
//           sum of xi per block, and per token whether its contributions can be
//           large and whether it is marked.
// Launch    one block of 256 threads per token; a warp takes every eighth block
//           of k, four of them side by side, a lane four places of the digits.
// Numerics  docs/numerics.md, 2 and 4: exact. A norm before is fused: x is
//           read twice, the second time from cache.
// Roofline  6 bytes per activation at least: negligible next to the weights up
//           to a few rows, then bound by the latency of one row: three turns of
//           a load, two reductions and two divisions at K = 11,008, 55
//           instructions a block in sm_90a's SASS.

#include "kernels/cuda/digits.cuh"

#include "kernels/cuda/launchers.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

template <int kDigits>
__global__ void __launch_bounds__(kNormThreads, 2)
    DigitsKernel(RowSource source, BlockTable blocks, int num_pairs,
                 QuatrainDigits out, int32_t* marks) {
  SIMT_SHARED(float, sums, [128]);
  SIMT_SHARED(uint32_t, row_max, [kDigitWarps]);
  const size_t token = blockIdx.x;
  const Row row = source.Open(blockIdx.x, sums);
  const int state = MakeRow<kDigits>(
      source, row, blocks, out.digits + token * num_pairs * kDigits * kPairK,
      out.blocks + token * blocks.size(), row_max);
  if (threadIdx.x != 0) return;
  out.states[token] = state;
  if (marks != nullptr) marks[token] = state == kQuatrainRowNotFinite ? 1 : 0;
}

}  // namespace

const char* LaunchDigits(const QuatrainMakeDigits& op, simt::Stream stream) {
  const QuatrainInt4& linear = op.linear;
  if (op.out.num_digits != 1 && op.out.num_digits != 2)
    return "digits: num_digits is neither 1 nor 2";
  if (op.num_tokens == 0) return nullptr;
  const RowSource source{
      op.x,        op.x_stride, op.x_marks,      op.norm_weight,
      op.norm_eps, linear.cols, linear.max_scale};
  simt::launch(op.out.num_digits == 2 ? DigitsKernel<2> : DigitsKernel<1>,
               dim3(op.num_tokens), dim3(kNormThreads), 0, stream, source,
               Int4Blocks(linear), linear.num_pairs, op.out, op.marks);
  return nullptr;
}

}  // namespace quatrain::cuda
