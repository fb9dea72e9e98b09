#pragma once

#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_attention.h"

// Attention of the default mode, on tensor cores: attention_mma.cu.
namespace quatrain::cuda {

// The operands, work and scratch of LaunchAttend(). nullptr, or what is wrong
// with them; head_dim 64, 80, 96, 128, 256 only, and no caches of f32.
const char* LaunchAttendMma(const QuatrainAttend& op, simt::Stream stream);

}  // namespace quatrain::cuda
