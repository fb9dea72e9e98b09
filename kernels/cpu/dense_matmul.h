#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/cpu/int4_matmul.h"
#include "kernels/cpu/int4_record.h"
#include "kernels/cpu/isa.h"

namespace quatrain {

// The packed form of a dense part: tiles of 16 outputs, in each [K][16] in the
// stored dtype; outputs past the last are 0.

// One tile of 16 outputs times `rows` <= kRowGroup rows of x (f32, row-major).
// Results as of Int4TileFunction.
using DenseTileFunction = uint32_t (*)(const std::byte* tile,
                                       const BlockList& blocks, const float* x,
                                       ptrdiff_t x_stride, int64_t* sums);

struct DenseKernels {
  DenseTileFunction f16[kRowGroup], bf16[kRowGroup], f32[kRowGroup];

  // By the number of rows, less one.
  const DenseTileFunction* Of(DType dtype) const {
    return dtype == DType::kF16 ? f16 : dtype == DType::kBF16 ? bf16 : f32;
  }
};

const DenseKernels& DenseKernelsFor(Isa isa);

}  // namespace quatrain
