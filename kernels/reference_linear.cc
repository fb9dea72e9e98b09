#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/status_macros.h"
#include "kernels/reference_ops.h"

namespace quatrain {
namespace {

// Allocates `bytes` that the linear owns.
absl::StatusOr<void*> Hold(size_t bytes, ReferenceLinear& linear,
                           DeviceMemory& memory) {
  ASSIGN_OR_RETURN(DeviceBuffer buffer, memory.Allocate(bytes, "weights"));
  linear.buffers.push_back(std::move(buffer));
  return linear.buffers.back().data();
}

// [inner][outer] to [outer][inner].
template <typename T>
void Transpose(const std::vector<T>& from, int inner, int outer, T* to) {
  for (int i = 0; i < inner; ++i)
    for (int o = 0; o < outer; ++o) to[o * inner + i] = from[i * outer + o];
}

// All weights of a part, rows outermost.
absl::Status ReadRows(const LogicalPart& part, int cols, uint8_t* q, uint8_t* z,
                      float* s) {
  constexpr int kTogether = 64;
  const int blocks = static_cast<int>(part.block_ends.size());
  std::vector<uint8_t> q_in(kTogether * cols), z_in(kTogether * blocks);
  std::vector<float> s_in(kTogether * blocks);
  for (int row = 0; row < part.rows; row += kTogether) {
    const int rows = std::min(kTogether, part.rows - row);
    RETURN_IF_ERROR(part.reader->ReadInt4(
        row, row + rows, 0, blocks, q_in.data(), z_in.data(), s_in.data()));
    Transpose(q_in, cols, rows, q + size_t(row) * cols);
    Transpose(z_in, blocks, rows, z + size_t(row) * blocks);
    Transpose(s_in, blocks, rows, s + size_t(row) * blocks);
  }
  return absl::OkStatus();
}

absl::Status PackPart(const LogicalPart& logical, ReferenceLinear& linear,
                      DeviceMemory& memory) {
  ReferencePart part{.rows = logical.rows,
                     .is_int4 = logical.is_int4,
                     .dense_dtype = logical.dense_dtype,
                     .block_ends = logical.block_ends};
  const size_t elements = static_cast<size_t>(part.rows) * linear.num_cols;
  if (elements > 0 && !part.is_int4) {
    const size_t bytes = elements * SizeOf(part.dense_dtype);
    ASSIGN_OR_RETURN(void* dense, Hold(bytes, linear, memory));
    RETURN_IF_ERROR(logical.reader->ReadDense(0, part.rows, dense));
    part.dense = dense;
  } else if (elements > 0) {
    const size_t scales = part.rows * part.block_ends.size();
    ASSIGN_OR_RETURN(void* q, Hold(elements, linear, memory));
    ASSIGN_OR_RETURN(void* z, Hold(scales, linear, memory));
    ASSIGN_OR_RETURN(void* s, Hold(scales * sizeof(float), linear, memory));
    RETURN_IF_ERROR(ReadRows(logical, linear.num_cols, static_cast<uint8_t*>(q),
                             static_cast<uint8_t*>(z), static_cast<float*>(s)));
    part.q = static_cast<const uint8_t*>(q);
    part.z = static_cast<const uint8_t*>(z);
    part.s = static_cast<const float*>(s);
  }
  linear.num_rows += part.rows;
  linear.parts.push_back(std::move(part));
  return absl::OkStatus();
}

void CheckBlocks(const LogicalPart& part, int cols) {
  int begin = 0;
  for (const int end : part.block_ends) {
    CHECK(end > begin && end - begin <= 128) << begin << ".." << end;
    begin = end;
  }
  CHECK_EQ(begin, cols) << "the last block's end";
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReferenceLinear>> PackReferenceLinear(
    const LogicalLinear& logical, LinearRole role, DeviceMemory& memory) {
  auto linear = std::make_unique<ReferenceLinear>();
  linear->role = role;
  linear->num_cols = logical.cols;
  linear->bias = logical.bias;
  for (const LogicalPart& part : logical.parts) {
    if (part.rows > 0 && role != LinearRole::kEmbed)
      CheckBlocks(part, logical.cols);
    RETURN_IF_ERROR(PackPart(part, *linear, memory));
  }
  return linear;
}

}  // namespace quatrain
