#pragma once

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_attention.h"

// Attention of the default mode, on tensor cores: attention_mma.cu.
namespace quatrain::cuda {

// The operands, work and scratch of LaunchAttend(). nullptr, or what is wrong
// with them; caches of f16 and bf16 and head_dim 64, 80, 96, 128, 256 only.
const char* LaunchAttendMma(const QuatrainAttend& op, simt::Stream stream);

// For each of the two lists: `rows` are those of PlanAttendRows() in groups of
// 16, one per row warp; `tile_warps` of those have tiles of their own.
AttendLaunch PlanAttendMma(const QuatrainAttendShape& shape, int list,
                           int num_sequences);

}  // namespace quatrain::cuda
