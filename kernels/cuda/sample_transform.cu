// Penalties and biases on the logits of the rows that have any.
//
//   for an id of the row's list of counts:
//     l = l > 0 ? l / repetition : l * repetition
//     l = l - frequency * f32(output_count)
//     l = l - presence, where output_count > 0
//   for an id of its list of biases: l = l + bias
//
// Shapes    table_sampling.h. Ids of no list keep their bits.
// Launch    one block of 256 threads per 2048 ids of a row; every block looks
//           through the row's whole lists.
// Numerics  each operation above is one of f32, in this order; an operation by
// a
//           neutral value changes nothing but the sign of a zero.
// Roofline  8 bytes per logit and 12 per list entry and block: a list of 4096
//           ids is 1.2 times the logits of 32k ids, from L2.

#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/sampling.h"

namespace quatrain::cuda {
namespace {

__device__ float Penalize(float l, const QuatrainSampleRow& row,
                          const QuatrainTokenCount& entry) {
  if (entry.in_prompt != 0 || entry.output_count > 0)
    l = l > 0.0f ? __fdiv_rn(l, row.repetition_penalty)
                 : __fmul_rn(l, row.repetition_penalty);
  l = __fsub_rn(
      l, __fmul_rn(row.frequency_penalty, __int2float_rn(entry.output_count)));
  return entry.output_count > 0 ? __fsub_rn(l, row.presence_penalty) : l;
}

__global__ void __launch_bounds__(kStreamThreads)
    TransformKernel(QuatrainTransform op) {
  const QuatrainSampleInput& in = op.input;
  const int num_chunks = NumChunks(in.num_drawable);
  const int row_index = static_cast<int>(blockIdx.x) / num_chunks;
  const int chunk = static_cast<int>(blockIdx.x) % num_chunks;
  const QuatrainSampleRow& row = in.rows[row_index];
  if (!IsTransformed(row) || IsMarked(in, row_index)) return;

  const int begin = chunk * kChunk;
  const int end = min(begin + kChunk, in.num_drawable);
  const float* from = RawLogits(in, row_index);
  float* to = op.transformed + row_index * in.stride;
  for (int i = begin + static_cast<int>(threadIdx.x) * 4; i < end;
       i += kStreamThreads * 4) {
    if (i + 3 < end)
      *reinterpret_cast<float4*>(to + i) =
          *reinterpret_cast<const float4*>(from + i);
    else
      for (int j = i; j < end; ++j) to[j] = from[j];
  }
  __syncthreads();  // the block's part of the row is written
  for (int i = threadIdx.x; i < row.num_counts; i += kStreamThreads) {
    const QuatrainTokenCount entry = op.counts[row.first_count + i];
    const int index = entry.token_id - in.first_id;
    if (index >= begin && index < end)
      to[index] = Penalize(to[index], row, entry);
  }
  __syncthreads();  // biases come after penalties
  for (int i = threadIdx.x; i < row.num_biases; i += kStreamThreads) {
    const QuatrainLogitBias entry = op.biases[row.first_bias + i];
    const int index = entry.token_id - in.first_id;
    if (index >= begin && index < end)
      to[index] = __fadd_rn(to[index], entry.bias);
  }
}

}  // namespace

const char* LaunchTransform(const QuatrainTransform& op, simt::Stream stream) {
  const QuatrainSampleInput& in = op.input;
  if (in.num_rows < 0 || in.num_ids <= 0 || in.num_drawable < 0 ||
      in.num_drawable > in.num_ids || in.num_ids > kQuatrainMaxVocab)
    return "transform: the sizes are impossible";
  if (in.stride % 4 != 0 || in.stride < in.num_ids)
    return "transform: the stride is no multiple of 4 or too small";
  if (in.num_rows > 0 && in.num_drawable > 0)
    simt::launch(TransformKernel,
                 dim3(in.num_rows * NumChunks(in.num_drawable)),
                 dim3(kStreamThreads), 0, stream, op);
  return nullptr;
}

}  // namespace quatrain::cuda
