#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/backend_options.h"

// The pieces of the reference backend; private to it and to tests.
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

struct ReferenceLinear : Linear {
  int rows() const override { return num_rows; }
  int cols() const override { return num_cols; }

  LinearRole role = LinearRole::kQkv;
  int num_rows = 0;
  int num_cols = 0;
  std::vector<ReferencePart> parts;
  std::vector<float> bias;
  std::vector<DeviceBuffer> buffers;  // behind the parts' pointers
};

absl::StatusOr<std::unique_ptr<ReferenceLinear>> PackReferenceLinear(
    const LogicalLinear& logical, LinearRole role, DeviceMemory& memory);

// Element `i` of an array of f16, bf16 or f32, widened; and narrowed back.
float LoadAs(DType dtype, const void* data, size_t i);
void StoreAs(DType dtype, float value, void* data, size_t i);

// sums: [linear.rows() + 1], the partial sums and the mark of one row of x.
void ReferenceSums(std::span<const float> x, const ReferenceLinear& linear,
                   Activations activations, std::span<int64_t> sums);

// The same as f32, all kMarkedBits where marked, with the bias.
void ReferenceOutputs(std::span<const float> x, const ReferenceLinear& linear,
                      Activations activations, std::span<float> out);

// out: [x.size()], does not overlap x.
void ReferenceRmsNorm(std::span<const float> x, const Norm& norm,
                      std::span<float> out);

void ReferenceAttend(MatrixView qkv, const AttentionSpec& spec,
                     const StepView& step, const KvLayer& kv, MatrixView out);

}  // namespace quatrain
