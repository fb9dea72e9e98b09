#include "kernels/cpu/cpu_linear.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/half.h"
#include "base/mutex.h"
#include "base/status_macros.h"
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

// Some rows in logical form.
struct Int4Rows {
  std::vector<uint8_t> q, z;
  std::vector<float> s;
};

// A word of 8 k from `from` on; missing k are 0.
uint32_t PackWord(const uint8_t* q, int from, int end) {
  uint8_t nibbles[kGroupK] = {};
  if (from + kGroupK <= end)
    std::memcpy(nibbles, q + from, kGroupK);
  else
    std::memcpy(nibbles, q + from, end - from);
  uint32_t low, high;
  std::memcpy(&low, nibbles, 4);
  std::memcpy(&high, nibbles + 4, 4);
  return low | high << 4;
}

// `to` as the dtype that holds it exactly.
void StoreScale(float s, DType dtype, std::byte* to) {
  if (dtype == DType::kF32) {
    std::memcpy(to, &s, sizeof(s));
    return;
  }
  const uint16_t bits = dtype == DType::kF16 ? F32ToF16(s) : F32ToBF16(s);
  std::memcpy(to, &bits, sizeof(bits));
}

// Writes lane `lane` of a tile from one row.
void PackLane(const BlockList& list, DType scale_dtype, const uint8_t* q,
              const uint8_t* z, const float* s, int lane, std::byte* tile) {
  const size_t scale_bytes = SizeOf(scale_dtype);
  std::byte* header = nullptr;
  for (int b = 0; b < list.num_blocks(); ++b) {
    const BlockSpan& block = list.blocks[b];
    if (b % kBlocksPerHeader == 0) {
      header = tile;
      tile += HeaderBytes(scale_dtype);
    }
    const int at = b % kBlocksPerHeader * kTileRows + lane;
    header[at] = std::byte{z[b]};
    StoreScale(s[b], scale_dtype, header + kHeaderLanes + at * scale_bytes);
    for (int g = 0; g < block.groups; ++g, tile += kVectorBytes)
      reinterpret_cast<uint32_t*>(tile)[lane] =
          PackWord(q, block.begin + g * kGroupK, block.end);
  }
}

// Packs tiles [begin, end) of an int4 part.
absl::Status PackInt4Tiles(const LogicalPart& logical, int cols,
                           const BlockList& list, int64_t begin, int64_t end,
                           CpuPart& part, float& max_scale) {
  const int blocks = list.num_blocks();
  Int4Rows rows{std::vector<uint8_t>(size_t{kPackRows} * cols),
                std::vector<uint8_t>(size_t{kPackRows} * blocks),
                std::vector<float>(size_t{kPackRows} * blocks)};
  const int last =
      static_cast<int>(std::min<int64_t>(end * kTileRows, part.rows));
  for (int first = static_cast<int>(begin) * kTileRows; first < last;
       first += kPackRows) {
    const int count = std::min(kPackRows, last - first);
    RETURN_IF_ERROR(logical.reader->ReadInt4(
        first, first + count, rows.q.data(), rows.z.data(), rows.s.data()));
    for (int i = 0; i < count; ++i) {
      const float* s = rows.s.data() + size_t(i) * blocks;
      for (int b = 0; b < blocks; ++b)
        max_scale = std::max(max_scale, std::fabs(s[b]));
      const int row = first + i;
      PackLane(list, part.scale_dtype, rows.q.data() + size_t(i) * cols,
               rows.z.data() + size_t(i) * blocks, s, row % kTileRows,
               part.record.data() + row / kTileRows * part.tile_bytes);
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
    std::byte* tile = part.record.data() + t * part.tile_bytes;
    for (int i = 0; i < count; ++i)
      for (int k = 0; k < cols; ++k)
        std::memcpy(tile + (size_t(k) * kTileRows + i) * size,
                    rows.data() + (size_t(i) * cols + k) * size, size);
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
        : part.is_int4 ? PackInt4Tiles(logical, cols, linear.lists[part.list],
                                       begin, end, part, max_scale)
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
