#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cpu/int4_record.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/device_memory.h"
#include "kernels/linear.h"

namespace quatrain {

// One part in the CPU backend's record: int4 as in int4_record.h, dense as in
// dense_matmul.h, an embedding as stored, row by row.
struct CpuPart {
  int rows = 0;
  int first_row = 0;  // of the linear
  bool is_int4 = false;
  DType dense_dtype = DType::kF16;
  DType scale_dtype = DType::kF32;
  int list = 0;  // index in CpuLinear::lists
  int64_t tile_bytes = 0;
  DeviceBuffer record;

  int num_tiles() const { return NumTiles(rows); }
  const std::byte* tile(int64_t t) const {
    return record.data() + t * tile_bytes;
  }
};

struct CpuLinear : Linear {
  int rows() const override { return num_rows; }
  int cols() const override { return num_cols; }

  LinearRole role = LinearRole::kQkv;
  int num_rows = 0;
  int num_cols = 0;
  std::vector<CpuPart> parts;    // none is empty
  std::vector<BlockList> lists;  // the different divisions of k
  std::vector<float> bias;
  float max_scale = 0.0f;  // the largest |s| of the int4 parts

  // out: f32 [cols].
  void ReadRow(int row, float* out) const;
};

// Packs tiles in parallel, each by the thread that will multiply it.
absl::StatusOr<std::unique_ptr<CpuLinear>> PackCpuLinear(
    const LogicalLinear& logical, LinearRole role, DeviceMemory& memory,
    ThreadPool& pool);

}  // namespace quatrain
