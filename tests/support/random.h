#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/half.h"
#include "base/matrix_view.h"
#include "kernels/linear.h"

// Seeded random data for kernel tests, and linears that live in vectors.
namespace quatrain {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  float Uniform(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(engine_);
  }
  float Normal() { return std::normal_distribution<float>()(engine_); }
  int Int(int low, int high) {  // both ends included
    return std::uniform_int_distribution<int>(low, high)(engine_);
  }
  std::vector<float> Normals(size_t n, float scale = 1.0f) {
    std::vector<float> values(n);
    for (float& value : values) value = Normal() * scale;
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

// Ends of blocks of k: at multiples of 128 and of `group`, and at `cols`.
// `first` is the absolute k of the part's first column.
inline std::vector<int> BlockEnds(int cols, int group, int first = 0) {
  std::vector<int> ends;
  for (int k = 1; k <= cols; ++k)
    if ((first + k) % 128 == 0 || (first + k) % group == 0 || k == cols)
      ends.push_back(k);
  return ends;
}

// The blocks of [begin, end), which starts and ends at block boundaries.
inline std::vector<int> SliceEnds(std::span<const int> ends, int begin,
                                  int end) {
  std::vector<int> slice;
  for (const int e : ends)
    if (e > begin && e <= end) slice.push_back(e - begin);
  return slice;
}

// An int4 linear in memory. Its readers die with it.
class HostInt4 : public WeightReader {
 public:
  HostInt4(int rows, int cols, std::vector<int> block_ends)
      : rows_(rows),
        cols_(cols),
        block_ends_(std::move(block_ends)),
        q_(static_cast<size_t>(rows) * cols),
        z_(rows * block_ends_.size()),
        s_(rows * block_ends_.size()) {}

  // Random weights; scales are near `scale` and f16 values, as in a
  // checkpoint.
  HostInt4(int rows, int cols, std::vector<int> block_ends, float scale,
           Random& random)
      : HostInt4(rows, cols, std::move(block_ends)) {
    for (uint8_t& q : q_) q = random.Int(0, 15);
    for (uint8_t& z : z_) z = random.Int(5, 10);
    for (float& s : s_)
      s = F16ToF32(F32ToF16(random.Uniform(0.5f, 1.5f) * scale));
  }

  // The same with other scales, near the old ones, that need this dtype.
  HostInt4 WithScales(DType dtype) const {
    HostInt4 other = *this;
    other.scale_dtype_ = dtype;
    for (float& s : other.s_) {
      if (dtype == DType::kF32) s *= 1.0001f;
      if (dtype == DType::kBF16) s = BF16ToF32(F32ToBF16(s));
    }
    return other;
  }

  // Rows [row_begin, row_end) and columns [begin, end), at block boundaries.
  HostInt4 Slice(int row_begin, int row_end, int begin, int end) const {
    HostInt4 slice(row_end - row_begin, end - begin,
                   SliceEnds(block_ends_, begin, end));
    slice.scale_dtype_ = scale_dtype_;
    const size_t first_block =
        std::upper_bound(block_ends_.begin(), block_ends_.end(), begin) -
        block_ends_.begin();
    const size_t blocks = slice.block_ends_.size();
    for (int r = 0; r < slice.rows_; ++r) {
      const size_t from = row_begin + r;
      std::copy_n(&q_[from * cols_] + begin, slice.cols_,
                  slice.q_.begin() + static_cast<size_t>(r) * slice.cols_);
      std::copy_n(z_.begin() + from * block_ends_.size() + first_block, blocks,
                  slice.z_.begin() + r * blocks);
      std::copy_n(s_.begin() + from * block_ends_.size() + first_block, blocks,
                  slice.s_.begin() + r * blocks);
    }
    return slice;
  }

  LogicalPart part() const {
    return {.rows = rows_,
            .is_int4 = true,
            .scale_dtype = scale_dtype_,
            .block_ends = block_ends_,
            .reader = this};
  }

  absl::Status ReadInt4(int begin, int end, int first_block, int last_block,
                        uint8_t* q, uint8_t* z, float* s) const override {
    const size_t blocks = block_ends_.size();
    for (int b = first_block; b < last_block; ++b) {
      for (int k = b > 0 ? block_ends_[b - 1] : 0; k < block_ends_[b]; ++k)
        for (int row = begin; row < end; ++row)
          *q++ = q_[static_cast<size_t>(row) * cols_ + k];
      for (int row = begin; row < end; ++row) {
        *z++ = z_[row * blocks + b];
        *s++ = s_[row * blocks + b];
      }
    }
    return absl::OkStatus();
  }
  absl::Status ReadDense(int, int, void*) const override {
    return absl::InternalError("int4 weights were read as dense");
  }

  // The dequantized weight.
  double Weight(int row, int k) const {
    const size_t block =
        std::upper_bound(block_ends_.begin(), block_ends_.end(), k) -
        block_ends_.begin();
    const size_t scale = row * block_ends_.size() + block;
    return (q_[static_cast<size_t>(row) * cols_ + k] - z_[scale]) *
           static_cast<double>(s_[scale]);
  }

  int rows() const { return rows_; }
  int cols() const { return cols_; }
  std::vector<uint8_t>& q() { return q_; }
  std::vector<uint8_t>& z() { return z_; }
  std::vector<float>& s() { return s_; }

 private:
  int rows_, cols_;
  DType scale_dtype_ = DType::kF16;
  std::vector<int> block_ends_;
  std::vector<uint8_t> q_, z_;
  std::vector<float> s_;
};

// A dense linear or an embedding in memory.
class HostDense : public WeightReader {
 public:
  HostDense(int rows, int cols, DType dtype, std::vector<int> block_ends)
      : rows_(rows),
        cols_(cols),
        dtype_(dtype),
        block_ends_(std::move(block_ends)),
        bytes_(static_cast<size_t>(rows) * cols * SizeOf(dtype)) {}

  HostDense(int rows, int cols, DType dtype, std::vector<int> block_ends,
            float scale, Random& random)
      : HostDense(rows, cols, dtype, std::move(block_ends)) {
    for (int r = 0; r < rows; ++r)
      for (int k = 0; k < cols; ++k) Set(r, k, random.Normal() * scale);
  }

  HostDense Slice(int row_begin, int row_end, int begin, int end) const {
    HostDense slice(row_end - row_begin, end - begin, dtype_,
                    SliceEnds(block_ends_, begin, end));
    for (int r = 0; r < slice.rows_; ++r)
      for (int k = 0; k < slice.cols_; ++k)
        slice.Set(r, k, Weight(row_begin + r, begin + k));
    return slice;
  }

  LogicalPart part() const {
    return {.rows = rows_,
            .dense_dtype = dtype_,
            .block_ends = block_ends_,
            .reader = this};
  }

  absl::Status ReadInt4(int, int, int, int, uint8_t*, uint8_t*,
                        float*) const override {
    return absl::InternalError("dense weights were read as int4");
  }
  absl::Status ReadDense(int begin, int end, void* out) const override {
    const size_t row = static_cast<size_t>(cols_) * SizeOf(dtype_);
    if (end > begin)
      std::memcpy(out, bytes_.data() + begin * row, (end - begin) * row);
    return absl::OkStatus();
  }

  // Rounds `value` to the stored type.
  void Set(int row, int k, float value) {
    const size_t i = static_cast<size_t>(row) * cols_ + k;
    const uint16_t half =
        dtype_ == DType::kF16 ? F32ToF16(value) : F32ToBF16(value);
    if (dtype_ == DType::kF32)
      std::memcpy(&bytes_[i * 4], &value, 4);
    else
      std::memcpy(&bytes_[i * 2], &half, 2);
  }

  float Weight(int row, int k) const {
    const size_t i = static_cast<size_t>(row) * cols_ + k;
    float value = 0;
    uint16_t half = 0;
    if (dtype_ == DType::kF32) {
      std::memcpy(&value, &bytes_[i * 4], 4);
      return value;
    }
    std::memcpy(&half, &bytes_[i * 2], 2);
    return dtype_ == DType::kF16 ? F16ToF32(half) : BF16ToF32(half);
  }

  int rows() const { return rows_; }
  int cols() const { return cols_; }

 private:
  int rows_, cols_;
  DType dtype_;
  std::vector<int> block_ends_;
  std::vector<std::byte> bytes_;
};

// A matrix that owns its elements. T: float or int64_t.
template <typename T>
class HostMatrix {
 public:
  HostMatrix(int rows, int cols)
      : cols_(cols), values_(static_cast<size_t>(rows) * cols) {
    view_ = {.data = values_.data(),
             .dtype = sizeof(T) == 8 ? DType::kI64 : DType::kF32,
             .rows = rows,
             .cols = cols,
             .row_stride = cols};
  }
  HostMatrix(int rows, int cols, std::vector<T> values)
      : HostMatrix(rows, cols) {
    CHECK_EQ(values.size(), values_.size());
    std::copy(values.begin(), values.end(), values_.begin());
  }
  HostMatrix(const HostMatrix&) = delete;

  MatrixView view() const { return view_; }
  std::span<T> row(int r) {
    return {values_.data() + static_cast<size_t>(r) * cols_,
            static_cast<size_t>(cols_)};
  }
  const std::vector<T>& values() const { return values_; }

 private:
  int cols_;
  std::vector<T> values_;
  MatrixView view_;
};

}  // namespace quatrain
