#pragma once

#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_sampling.h"

// The kernels of one sampling, in the order of their launches. Private to
// sample_*.cu.
namespace quatrain::cuda {

// Where the scan writes; `out` or the rest is null.
struct ScanOutput {
  QuatrainSampled* out;
  QuatrainRowPart* parts;
  float* raw_lse;  // null: the row's scratch
  float* lse;
  int64_t tile_stride;
  QuatrainCandidate* candidates;
};

void LaunchScan(const QuatrainSampleInput& in, const ScanOutput& output,
                simt::Stream stream);
void LaunchSelect(const QuatrainSample& op, simt::Stream stream);
void LaunchDraw(const QuatrainSample& op, simt::Stream stream);
void LaunchRank(const QuatrainSample& op, simt::Stream stream);
void LaunchCounting(const QuatrainCount& op, simt::Stream stream);
void LaunchBest(const QuatrainSamplePart& op, simt::Stream stream);

}  // namespace quatrain::cuda
