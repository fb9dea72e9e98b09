#pragma once

// kernels/cuda/simt.h for a host compiler: everything a kernel may use, run by
// the engine in this folder.

#include <cuda_runtime_api.h>
//
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <vector_functions.h>
//
#include "kernels/emu/atomic.h"
#include "kernels/emu/barrier.h"
#include "kernels/emu/bits.h"
#include "kernels/emu/half.h"
#include "kernels/emu/launch.h"
#include "kernels/emu/load.h"
#include "kernels/emu/math.h"
#include "kernels/emu/shared.h"
#include "kernels/emu/stream.h"
#include "kernels/emu/warp.h"
// Last: the headers above use the words that it redefines.
#include "kernels/emu/qualifiers.h"
