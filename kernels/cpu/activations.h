#pragma once

#include <cstdint>

#include "kernels/cpu/int4_record.h"
#include "kernels/cpu/isa.h"

namespace quatrain {

// What DigitsOfRow found in a row of x.
struct RowRange {
  float max_abs = 0.0f;  // over all blocks
  bool finite = true;
};

// Per-row work around the products (docs/numerics.md, 2 and 4).
struct ActivationKernels {
  // y = x / sqrt(mean(x^2) + eps) * weight, n values.
  void (*rms_norm)(const float* x, const float* weight, float eps, int n,
                   float* y);

  // The digits of a row, at most max_digits, in the order of int4_record.h, and
  // per block a and the sum of the digits.
  RowRange (*digits)(const float* x, const BlockList& blocks, int max_digits,
                     int16_t* digits, float* scales, int32_t* sums);

  // y = silu(gate) * up, n values; a NaN is MarkedValue().
  void (*gate)(const float* gate, const float* up, int n, float* y);
};

const ActivationKernels& ActivationKernelsFor(Isa isa);

}  // namespace quatrain
