#include "tools/bench_weights.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "base/status_macros.h"
#include "kernels/cpu/cpu_linear.h"
#include "kernels/record_size.h"
#include "tools/memory_read.h"

namespace quatrain {
namespace {

constexpr int kGroup = 128;
constexpr int kPool = 4096;

// Random weights, from a pool so that packing does not wait for them.
class RandomReader : public WeightReader {
 public:
  explicit RandomReader(int cols) : cols_(cols) {
    std::mt19937 engine(1);
    for (uint8_t& q : nibbles_) q = engine() & 15;
    // f16 between 2^-7 and 2^-6, of both signs.
    for (uint16_t& half : halves_)
      half = static_cast<uint16_t>((engine() & 0x83ff) | 0x2000);
  }
  absl::Status ReadInt4(int begin, int end, int first_block, int last_block,
                        uint8_t* q, uint8_t* z, float* s) const override {
    const int rows = end - begin, blocks = last_block - first_block;
    const int first = first_block * kGroup;
    const int last = std::min(last_block * kGroup, cols_);
    for (int k = first; k < last; ++k, q += rows)
      std::memcpy(q, nibbles_.data() + k * 61 % kPool, rows);
    std::fill_n(z, blocks * rows, uint8_t{8});
    std::fill_n(s, blocks * rows, 0x1p-7f);
    return absl::OkStatus();
  }
  absl::Status ReadDense(int begin, int end, void* out) const override {
    auto* to = static_cast<uint16_t*>(out);
    for (int row = begin; row < end; ++row, to += cols_) Copy(halves_, row, to);
    return absl::OkStatus();
  }

 private:
  template <typename T>
  void Copy(const std::vector<T>& pool, int row, T* to) const {
    for (int k = 0; k < cols_; k += kPool)
      std::memcpy(to + k, pool.data() + row * 61 % kPool,
                  std::min(kPool, cols_ - k) * sizeof(T));
  }

  const int cols_;
  std::vector<uint8_t> nibbles_ = std::vector<uint8_t>(2 * kPool);
  std::vector<uint16_t> halves_ = std::vector<uint16_t>(2 * kPool);
};

std::vector<int> BlockEnds(int cols) {
  std::vector<int> ends;
  for (int k = kGroup; k < cols; k += kGroup) ends.push_back(k);
  ends.push_back(cols);
  return ends;
}

absl::StatusOr<WeightCopies> MakeCopies(int inputs, LogicalPart part,
                                        LinearRole role, int64_t bytes_each,
                                        int64_t total_bytes, Backend& backend) {
  const RandomReader reader(inputs);
  part.block_ends = BlockEnds(inputs);
  part.reader = &reader;
  const LogicalLinear logical{.cols = inputs, .parts = {part}};
  WeightCopies copies{.bytes_each = bytes_each};
  for (int64_t bytes = 0; bytes < total_bytes; bytes += bytes_each) {
    ASSIGN_OR_RETURN(auto linear, backend.PackLinear(logical, role));
    copies.linears.push_back(std::move(linear));
  }
  return copies;
}

}  // namespace

absl::StatusOr<WeightCopies> MakeInt4Copies(int inputs, int outputs,
                                            Backend& backend,
                                            int64_t total_bytes) {
  return MakeCopies(
      inputs, {.rows = outputs, .is_int4 = true, .scale_dtype = DType::kF16},
      LinearRole::kQkv,
      Int4RecordBytes(outputs, BlockEnds(inputs), DType::kF16), total_bytes,
      backend);
}

absl::StatusOr<WeightCopies> MakeF16Copies(int inputs, int outputs,
                                           Backend& backend,
                                           int64_t total_bytes) {
  return MakeCopies(
      inputs, {.rows = outputs, .dense_dtype = DType::kF16}, LinearRole::kHead,
      DenseRecordBytes(outputs, inputs, DType::kF16), total_bytes, backend);
}

double ReadBytesPerSecond(const WeightCopies& copies, ThreadPool& pool,
                          double seconds) {
  std::vector<ReadPiece> pieces;
  for (const auto& linear : copies.linears) {
    const CpuPart& part = static_cast<const CpuLinear&>(*linear).parts[0];
    ReadPiece& piece = pieces.emplace_back();
    for (int thread = 0; thread < pool.threads(); ++thread) {
      const auto [begin, end] = pool.Share(part.num_tiles(), thread);
      piece.push_back({part.tile(begin),
                       static_cast<size_t>((end - begin) * part.tile_bytes)});
    }
  }
  return BestReadBytesPerSecond(pieces, pool, seconds);
}

}  // namespace quatrain
