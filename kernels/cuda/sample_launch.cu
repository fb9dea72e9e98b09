// The launchers of sampling: what is checked, and which kernels run.
//
// Shapes    table_sampling.h.
// Launch    sample: scan, select, draw, rank; sample_part: scan, best; count:
//           one kernel. Always all of them: blocks of rows that need none of a
//           kernel end at once.
// Numerics  the kernels'.
// Roofline  the kernels'; an idle one costs its launch, 1 to 2 us in a graph.

#include "kernels/cuda/sample_scratch.cuh"
#include "kernels/cuda/sample_stages.h"
#include "kernels/cuda/sampling.h"

namespace quatrain::cuda {
namespace {

const char* Check(const QuatrainSampleInput& in) {
  if (in.num_rows < 0 || in.num_ids <= 0 || in.num_ids > kQuatrainMaxVocab)
    return "sampling: the sizes are impossible";
  if (in.num_drawable < 0 || in.num_drawable > in.num_ids)
    return "sampling: more drawable ids than ids";
  if (in.stride % 4 != 0 || in.stride < in.num_ids)
    return "sampling: the stride is no multiple of 4 or too small";
  if (in.first_id < 0 || in.first_id % kVocabTile != 0)
    return "sampling: first_id is no multiple of 256";
  if (static_cast<int64_t>(in.num_rows) * (NumChunks(in.num_ids) + 1) >
      0x7fffffff)
    return "sampling: too many rows";
  if (in.num_rows > 0 && (in.logits == nullptr || in.rows == nullptr))
    return "sampling: an operand is missing";
  return nullptr;
}

}  // namespace

size_t SampleScratchBytes(int num_ids) { return RowScratch::Bytes(num_ids); }

const char* LaunchSample(const QuatrainSample& op, simt::Stream stream) {
  if (const char* wrong = Check(op.input)) return wrong;
  if (op.input.first_id != 0) return "sample: a part of a vocabulary";
  if (op.input.num_drawable == 0) return "sample: nothing to draw";
  if (op.input.num_rows == 0) return nullptr;
  if (op.out == nullptr || op.input.scratch == nullptr)
    return "sample: an operand is missing";
  LaunchScan(op.input, {op.out, nullptr, nullptr, nullptr, 0, nullptr}, stream);
  LaunchSelect(op, stream);
  LaunchDraw(op, stream);
  LaunchRank(op, stream);
  return nullptr;
}

const char* LaunchSamplePart(const QuatrainSamplePart& op,
                             simt::Stream stream) {
  if (const char* wrong = Check(op.input)) return wrong;
  if (op.tile_stride < NumTiles(op.input.num_ids))
    return "sample_part: tile_stride is too small";
  if (op.input.num_rows == 0) return nullptr;
  if (op.parts == nullptr || op.raw_lse == nullptr || op.lse == nullptr ||
      op.candidates == nullptr || op.top == nullptr ||
      op.input.scratch == nullptr)
    return "sample_part: an operand is missing";
  LaunchScan(
      op.input,
      {nullptr, op.parts, op.raw_lse, op.lse, op.tile_stride, op.candidates},
      stream);
  LaunchBest(op, stream);
  return nullptr;
}

const char* LaunchCount(const QuatrainCount& op, simt::Stream stream) {
  const QuatrainSampleInput& in = op.input;
  if (in.num_rows < 0 || in.num_drawable < 0 ||
      in.num_drawable > kQuatrainMaxVocab)
    return "count: the sizes are impossible";
  if (in.stride % 4 != 0 || in.stride < in.num_drawable)
    return "count: the stride is no multiple of 4 or too small";
  if (in.num_rows > 0 && in.num_drawable > 0) LaunchCounting(op, stream);
  return nullptr;
}

}  // namespace quatrain::cuda
