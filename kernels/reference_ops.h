#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/reference_math.h"

// The pieces of the reference backend; private to it and to tests.
namespace quatrain {

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

}  // namespace quatrain
