#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/half.h"
#include "kernels/exact_sum.h"
#include "kernels/reference_math.h"
#include "tests/kernels/cuda/device.h"

// Random linears in host memory, their packed forms on the device, and what the
// reference makes of them. The same numbers on every machine.
namespace quatrain {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  // Spelled out: the library's distributions differ between libraries.
  uint32_t Bits() { return static_cast<uint32_t>(engine_() >> 32); }
  int Int(int low, int high) {  // both ends included
    return low +
           static_cast<int>(Bits() % static_cast<uint32_t>(high - low + 1));
  }
  float Uniform(float low, float high) {
    return low + (high - low) * (static_cast<float>(Bits() >> 8) * 0x1p-24f);
  }
  // Bell-shaped, of unit variance.
  float Bell() {
    float sum = 0.0f;
    for (int i = 0; i < 3; ++i) sum += Uniform(-1.0f, 1.0f);
    return sum;
  }

 private:
  std::mt19937_64 engine_;
};

inline std::vector<float> RandomFloats(size_t n, Random& random,
                                       float scale = 1.0f) {
  std::vector<float> values(n);
  for (float& value : values) value = random.Bell() * scale;
  return values;
}

// Where only their number matters.
inline std::vector<float> SomeFloats(size_t n) {
  Random random(2);
  return RandomFloats(n, random);
}

// Ends of blocks of k: multiples of 128, of `group` and of `head`, and `cols`.
// `first` is the absolute k of the part's first column.
inline std::vector<int32_t> BlockEnds(int cols, int group, int head = 128,
                                      int first = 0) {
  std::vector<int32_t> ends;
  for (int k = 1; k <= cols; ++k) {
    const int at = first + k;
    if (at % 128 == 0 || at % group == 0 || at % head == 0 || k == cols)
      ends.push_back(k);
  }
  return ends;
}

inline float RoundTo(QuatrainDType dtype, float x) {
  if (dtype == kQuatrainF16) return F16ToF32(F32ToF16(x));
  if (dtype == kQuatrainBF16) return BF16ToF32(F32ToBF16(x));
  return x;
}

inline DType ToDType(QuatrainDType dtype) {
  return dtype == kQuatrainF16    ? DType::kF16
         : dtype == kQuatrainBF16 ? DType::kBF16
                                  : DType::kF32;
}

// An int4 linear, rows outermost.
struct HostInt4 {
  int rows, cols;
  std::vector<int32_t> ends;
  QuatrainDType scale_dtype;
  std::vector<uint8_t> q, z;  // [rows, cols], [rows, blocks]
  std::vector<float> s;       // [rows, blocks]

  HostInt4(int num_rows, int num_cols, std::vector<int32_t> block_ends,
           QuatrainDType dtype, float scale, Random& random)
      : rows(num_rows),
        cols(num_cols),
        ends(std::move(block_ends)),
        scale_dtype(dtype),
        q(static_cast<size_t>(rows) * cols),
        z(rows * ends.size()),
        s(rows * ends.size()) {
    for (uint8_t& value : q) value = random.Int(0, 15);
    for (uint8_t& value : z) value = random.Int(0, 15);
    for (float& value : s)
      value = RoundTo(dtype, random.Uniform(0.5f, 1.5f) * scale);
  }

  int num_blocks() const { return static_cast<int>(ends.size()); }

  ReferencePart part() const {
    return {.rows = rows,
            .is_int4 = true,
            .block_ends = {ends.begin(), ends.end()},
            .q = q.data(),
            .z = z.data(),
            .s = s.data()};
  }
};

// [rows][inner] to [inner][rows], of rows [begin, end).
template <typename T>
std::vector<T> Transposed(const std::vector<T>& from, int inner, int begin,
                          int end, int first, int last) {
  std::vector<T> to;
  for (int i = first; i < last; ++i)
    for (int r = begin; r < end; ++r)
      to.push_back(from[static_cast<size_t>(r) * inner + i]);
  return to;
}

// A packed linear on the device.
class DeviceInt4 {
 public:
  DeviceInt4(int rows, int cols, const std::vector<int32_t>& ends,
             QuatrainDType scale_dtype)
      : layout_(LayOut(ends, scale_dtype)),
        table_(layout_.table_bytes),
        tiles_((rows + 15) / 16 * layout_.tile_bytes) {
    std::vector<unsigned char> table(layout_.table_bytes);
    const QuatrainBlocks blocks{ends.data(), static_cast<int>(ends.size())};
    CudaOk(Cuda().block_table(&blocks, 1, scale_dtype, table.data(), &layout_),
           "block_table");
    CudaOk(Cuda().copy(table_.data(), table.data(), table.size(), nullptr),
           "copy");
    DeviceArray<unsigned char>::Synchronize();
    view_ = {tiles_.data(),
             table_.data(),
             rows,
             cols,
             static_cast<int>(ends.size()),
             layout_.num_pairs,
             layout_.tile_bytes,
             scale_dtype,
             0.0f};
  }

  const QuatrainInt4& view() const { return view_; }
  size_t weight_bytes() const { return tiles_.bytes(); }
  const unsigned char* tiles() const { return tiles_.data(); }

  // Packs rows [begin, end) of blocks [first, last).
  void PackSlab(const HostInt4& host, int begin, int end, int first, int last,
                int interleave) {
    const int first_k = first > 0 ? host.ends[first - 1] : 0;
    const int last_k = last > 0 ? host.ends[last - 1] : 0;
    const DeviceArray<uint8_t> q(
        Transposed(host.q, host.cols, begin, end, first_k, last_k));
    const DeviceArray<uint8_t> z(
        Transposed(host.z, host.num_blocks(), begin, end, first, last));
    const DeviceArray<float> s(
        Transposed(host.s, host.num_blocks(), begin, end, first, last));
    for (const float value : host.s)
      view_.max_scale = std::max(view_.max_scale, std::fabs(value));
    const QuatrainPackInt4 op{view_,    tiles_.data(), begin,     end,
                              first,    last,          first_k,   q.data(),
                              z.data(), s.data(),      interleave};
    CudaOk(Cuda().pack_int4(&op, nullptr), "pack_int4");
    DeviceArray<uint8_t>::Synchronize();
  }

  void Pack(const HostInt4& host, int interleave = 0) {
    PackSlab(host, 0, host.rows, 0, host.num_blocks(), interleave);
  }

 private:
  static QuatrainLayout LayOut(const std::vector<int32_t>& ends,
                               QuatrainDType dtype) {
    QuatrainLayout layout = {};
    const QuatrainBlocks blocks{ends.data(), static_cast<int>(ends.size())};
    CudaOk(Cuda().block_table(&blocks, 1, dtype, nullptr, &layout),
           "block_table");
    return layout;
  }

  QuatrainLayout layout_;
  DeviceArray<unsigned char> table_;
  DeviceArray<unsigned char> tiles_;
  QuatrainInt4 view_;
};

// The digits of some tokens, as the products want them.
class DeviceDigits {
 public:
  DeviceDigits(const QuatrainInt4& linear, int num_tokens, int num_digits)
      : digits_(static_cast<size_t>(num_tokens) * linear.num_pairs * 64 *
                num_digits),
        blocks_(static_cast<size_t>(num_tokens) * linear.num_blocks),
        states_(num_tokens),
        num_digits_(num_digits) {}

  QuatrainDigits view() const {
    return {digits_.data(), blocks_.data(), states_.data(), num_digits_};
  }

 private:
  DeviceArray<int8_t> digits_;
  DeviceArray<QuatrainDigitBlock> blocks_;
  DeviceArray<int32_t> states_;
  int num_digits_;
};

}  // namespace quatrain
