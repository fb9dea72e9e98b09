#include "kernels/cpu/cpu_linear.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/half.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "kernels/cpu/pack_tile.h"
#include "kernels/exact_sum.h"
#include "kernels/record_size.h"

namespace quatrain {
namespace {

// Collects the first error and the largest scale of several threads.
class PackResult {
 public:
  void Add(const absl::Status& status, float max_scale) {
    MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
    max_scale_ = std::max(max_scale_, max_scale);
  }
  absl::Status status() {
    MutexLock lock(&mutex_);
    return status_;
  }
  float max_scale() {
    MutexLock lock(&mutex_);
    return max_scale_;
  }

 private:
  Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  float max_scale_ ABSL_GUARDED_BY(mutex_) = 0.0f;
};

// Some rows and blocks in logical form, as WeightReader gives them.
struct Int4Piece {
  static constexpr size_t kScales = size_t{kPackBlocks} * kPackRows;
  std::vector<uint8_t> q = std::vector<uint8_t>(kScales * kMaxBlock);
  std::vector<uint8_t> z = std::vector<uint8_t>(kScales);
  std::vector<float> s = std::vector<float>(kScales);
};

// Rows that are read together: whole tiles, or less than one.
int RowsTogether(int left) {
  if (left < kTileRows) return left;
  return std::min(kPackRows, left / kTileRows * kTileRows);
}

// Packs tiles [begin, end) of an int4 part: four blocks of all of them, then
// the next four, so that reading goes through the file in its order.
absl::Status PackInt4Tiles(const LogicalPart& logical, const BlockList& list,
                           int64_t begin, int64_t end, CpuPart& part,
                           float& max_scale) {
  Int4Piece piece;
  const int first_row = static_cast<int>(begin) * kTileRows;
  const int last_row =
      static_cast<int>(std::min<int64_t>(end * kTileRows, part.rows));
  for (int b = 0; b < list.num_blocks(); b += kPackBlocks) {
    const int last_block = std::min(b + kPackBlocks, list.num_blocks());
    for (int row = first_row, rows = 0; row < last_row; row += rows) {
      rows = RowsTogether(last_row - row);
      RETURN_IF_ERROR(logical.reader->ReadInt4(row, row + rows, b, last_block,
                                               piece.q.data(), piece.z.data(),
                                               piece.s.data()));
      const int scales = rows * (last_block - b);
      for (int i = 0; i < scales; ++i)
        max_scale = std::max(max_scale, std::fabs(piece.s[i]));
      for (int i = 0; i < rows; i += kTileRows)
        PackInt4Blocks(
            {.list = list,
             .first_block = b,
             .last_block = last_block,
             .lanes = std::min(kTileRows, rows - i),
             .stride = rows,
             .q = piece.q.data() + i,
             .z = piece.z.data() + i,
             .s = piece.s.data() + i},
            part.scale_dtype,
            part.record.data() + (row + i) / kTileRows * part.tile_bytes);
    }
  }
  return absl::OkStatus();
}

// Packs tiles [begin, end) of a dense part.
absl::Status PackDenseTiles(const LogicalPart& logical, int cols, int64_t begin,
                            int64_t end, CpuPart& part) {
  const size_t size = SizeOf(part.dense_dtype);
  std::vector<std::byte> rows(kTileRows * size * cols);
  for (int64_t t = begin; t < end; ++t) {
    const int first = static_cast<int>(t) * kTileRows;
    const int count = std::min(kTileRows, part.rows - first);
    RETURN_IF_ERROR(
        logical.reader->ReadDense(first, first + count, rows.data()));
    PackDenseTile(rows.data(), count, cols, size,
                  part.record.data() + t * part.tile_bytes);
  }
  return absl::OkStatus();
}

// The same for an embedding, which keeps the order of the file.
absl::Status CopyRows(const LogicalPart& logical, int64_t begin, int64_t end,
                      CpuPart& part) {
  const int first = static_cast<int>(begin) * kTileRows;
  const int last =
      static_cast<int>(std::min<int64_t>(end * kTileRows, part.rows));
  return logical.reader->ReadDense(
      first, last, part.record.data() + begin * part.tile_bytes);
}

int ListIndex(const std::vector<int>& block_ends, int cols, CpuLinear& linear) {
  BlockList list(block_ends);
  CHECK_EQ(list.blocks.empty() ? 0 : list.blocks.back().end, cols)
      << "the last block's end";
  for (size_t i = 0; i < linear.lists.size(); ++i) {
    const auto& known = linear.lists[i].blocks;
    if (std::equal(known.begin(), known.end(), list.blocks.begin(),
                   list.blocks.end(),
                   [](const auto& a, const auto& b) { return a.end == b.end; }))
      return static_cast<int>(i);
  }
  linear.lists.push_back(std::move(list));
  return static_cast<int>(linear.lists.size()) - 1;
}

absl::Status PackPart(const LogicalPart& logical, CpuLinear& linear,
                      DeviceMemory& memory, ThreadPool& pool) {
  CpuPart part{.rows = logical.rows,
               .first_row = linear.num_rows,
               .is_int4 = logical.is_int4,
               .dense_dtype = logical.dense_dtype,
               .scale_dtype = logical.scale_dtype};
  const bool embed = linear.role == LinearRole::kEmbed;
  CHECK(!embed || !logical.is_int4) << "an embedding of int4";
  const int cols = linear.num_cols;
  if (!embed) part.list = ListIndex(logical.block_ends, cols, linear);
  const int64_t bytes =
      part.is_int4
          ? Int4RecordBytes(part.rows, logical.block_ends, part.scale_dtype)
          : DenseRecordBytes(part.rows, cols, part.dense_dtype);
  part.tile_bytes = bytes / part.num_tiles();
  ASSIGN_OR_RETURN(part.record, memory.Allocate(bytes, "weights"));
  PackResult result;
  pool.Run([&](int thread) {
    const auto [begin, end] = pool.Share(part.num_tiles(), thread);
    if (begin == end) return;
    float max_scale = 0.0f;
    const absl::Status status =
        embed          ? CopyRows(logical, begin, end, part)
        : part.is_int4 ? PackInt4Tiles(logical, linear.lists[part.list], begin,
                                       end, part, max_scale)
                       : PackDenseTiles(logical, cols, begin, end, part);
    result.Add(status, max_scale);
  });
  linear.max_scale = std::max(linear.max_scale, result.max_scale());
  linear.parts.push_back(std::move(part));
  return result.status();
}

float Widen(DType dtype, const std::byte* from) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  return dtype == DType::kF16 ? F16ToF32(bits) : BF16ToF32(bits);
}

}  // namespace

void CpuLinear::ReadRow(int row, float* out) const {
  size_t p = 0;
  while (row >= parts[p].rows) row -= parts[p++].rows;
  const CpuPart& part = parts[p];
  CHECK(!part.is_int4) << "an embedding of int4";
  const size_t size = SizeOf(part.dense_dtype);
  const bool in_tiles = role != LinearRole::kEmbed;
  const size_t step = in_tiles ? kTileRows * size : size;
  const std::byte* from =
      in_tiles ? part.tile(row / kTileRows) + row % kTileRows * size
               : part.record.data() + size_t(row) * num_cols * size;
  for (int k = 0; k < num_cols; ++k, from += step)
    out[k] = Widen(part.dense_dtype, from);
}

absl::StatusOr<std::unique_ptr<CpuLinear>> PackCpuLinear(
    const LogicalLinear& logical, LinearRole role, DeviceMemory& memory,
    ThreadPool& pool) {
  auto linear = std::make_unique<CpuLinear>();
  linear->role = role;
  linear->num_cols = logical.cols;
  linear->bias = logical.bias;
  for (const LogicalPart& part : logical.parts) {
    if (part.rows > 0 && logical.cols > 0)
      RETURN_IF_ERROR(PackPart(part, *linear, memory, pool));
    linear->num_rows += part.rows;
  }
  return linear;
}

}  // namespace quatrain
