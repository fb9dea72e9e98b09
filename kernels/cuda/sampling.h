#pragma once

#include <cstddef>

#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_sampling.h"

// Launchers of sampling: each checks its operands, enqueues its kernels and
// returns nullptr, or what is wrong with the operands. The number of kernels
// and their grids depend on the shapes alone, never on what the rows ask for,
// so that a captured graph serves every step of the same shape.
namespace quatrain::cuda {

// Scratch of one row.
size_t SampleScratchBytes(int num_ids);

const char* LaunchTransform(const QuatrainTransform& op, simt::Stream stream);
const char* LaunchSample(const QuatrainSample& op, simt::Stream stream);
const char* LaunchSamplePart(const QuatrainSamplePart& op, simt::Stream stream);
const char* LaunchCount(const QuatrainCount& op, simt::Stream stream);

}  // namespace quatrain::cuda
