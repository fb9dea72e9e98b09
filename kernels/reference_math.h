#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "base/matrix_view.h"
#include "kernels/backend_options.h"
#include "kernels/operands.h"
#include "kernels/step.h"

// The definition of every operation as naive loops over memory of the host.
// Needs nothing but the standard library, so that it can judge kernels on a
// machine that has only a compiler.
namespace quatrain {

// One part of a linear in its logical layout: row-major, a row is one output.
struct ReferencePart {
  int rows = 0;
  bool is_int4 = false;
  DType dense_dtype = DType::kF16;
  std::vector<int> block_ends;
  const uint8_t* q = nullptr;   // int4: [rows, cols]
  const uint8_t* z = nullptr;   // int4: [rows, blocks]
  const float* s = nullptr;     // int4: [rows, blocks]
  const void* dense = nullptr;  // [rows, cols]
};

// Element `i` of an array of f16, bf16 or f32, widened; and narrowed back.
float LoadAs(DType dtype, const void* data, size_t i);
void StoreAs(DType dtype, float value, void* data, size_t i);

// sums: [rows of all parts + 1], the partial sums and the mark of one row of x.
void ReferenceSums(std::span<const float> x,
                   std::span<const ReferencePart> parts,
                   Activations activations, std::span<int64_t> sums);

// The same as f32, all kMarkedBits where marked, with the bias (or none).
void ReferenceOutputs(std::span<const float> x,
                      std::span<const ReferencePart> parts,
                      std::span<const float> bias, Activations activations,
                      std::span<float> out);

// out: [x.size()], does not overlap x.
void ReferenceRmsNorm(std::span<const float> x, const Norm& norm,
                      std::span<float> out);

void ReferenceAttend(MatrixView qkv, const AttentionSpec& spec,
                     const StepView& step, const KvLayer& kv, MatrixView out);

}  // namespace quatrain
