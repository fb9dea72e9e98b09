#pragma once

#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_attention.h"

// Attention of the default mode, on tensor cores: attention_mma.cu.
namespace quatrain::cuda {

// The operands, work and scratch of LaunchAttend(). nullptr, or what is wrong
// with them; caches of f16 and bf16 and head_dim 64, 80, 96, 128, 256 only.
const char* LaunchAttendMma(const QuatrainAttend& op, simt::Stream stream);

}  // namespace quatrain::cuda
