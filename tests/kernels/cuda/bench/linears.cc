#include "tests/kernels/cuda/bench/linears.h"

#include <algorithm>
#include <random>

#include "base/half.h"
#include "tests/kernels/cuda/bench/kernels.h"

namespace quatrain::bench {
namespace {

constexpr float kScale = 0.01f;       // of weights, about what models have
constexpr float kMaxScale = 0.0151f;  // 1.5 of it, rounded to f16
constexpr int kSlabRows = 512;

// Weights as packing wants them: enough for a slab, used for all of them.
class RandomSlab {
 public:
  RandomSlab(int rows, int cols, int blocks, uint64_t seed)
      : engine_(seed),
        q_(Nibbles(static_cast<size_t>(rows) * cols)),
        z_(Nibbles(static_cast<size_t>(rows) * blocks)),
        s_(Scales(static_cast<size_t>(rows) * blocks)) {}

  const uint8_t* q() const { return q_.data(); }
  const uint8_t* z() const { return z_.data(); }
  const float* s() const { return s_.data(); }

 private:
  std::vector<uint8_t> Nibbles(size_t size) {
    std::vector<uint8_t> values(size);
    uint64_t bits = 0;
    for (size_t i = 0; i < size; ++i) {
      if (i % 16 == 0) bits = engine_();
      values[i] = bits & 15;
      bits >>= 4;
    }
    return values;
  }
  std::vector<float> Scales(size_t size) {
    std::vector<float> values(size);
    for (float& value : values) {
      const float unit = static_cast<float>(engine_() >> 40) * 0x1p-24f;
      value = F16ToF32(F32ToF16(kScale * (0.5f + unit)));
    }
    return values;
  }

  std::mt19937_64 engine_;
  DeviceArray<uint8_t> q_, z_;
  DeviceArray<float> s_;
};

QuatrainLayout LayOut(const std::vector<int32_t>& ends, void* table) {
  const QuatrainBlocks blocks{ends.data(), static_cast<int>(ends.size())};
  QuatrainLayout layout;
  CudaOk(Cuda().block_table(&blocks, 1, kQuatrainF16, table, &layout),
         "block_table");
  return layout;
}

size_t TileBytes(int rows, const QuatrainLayout& layout) {
  return static_cast<size_t>((rows + 15) / 16) * layout.tile_bytes;
}

// Packs one part: all rows, or gate's (1) or up's (2).
void Pack(const QuatrainInt4& linear, void* tiles, int part_rows,
          int interleave, uint64_t seed, QuatrainStream stream) {
  const int slab_rows = std::min(kSlabRows, part_rows);
  const RandomSlab slab(slab_rows, linear.cols, linear.num_blocks, seed);
  for (int row = 0; row < part_rows; row += slab_rows) {
    const QuatrainPackInt4 op{linear,    tiles,
                              row,       std::min(row + slab_rows, part_rows),
                              0,         linear.num_blocks,
                              0,         slab.q(),
                              slab.z(),  slab.s(),
                              interleave};
    CudaOk(Cuda().pack_int4(&op, stream), "pack_int4");
  }
  CudaOk(Cuda().stream_synchronize(stream), "stream_synchronize");
}

}  // namespace

std::string LinearShape::Describe() const {
  return std::string(model) + " " + name + " " + std::to_string(rows) + "x" +
         std::to_string(cols);
}

std::vector<std::vector<LinearShape>> ModelShapes(bool smoke) {
  if (smoke)
    return {{{"tiny", "qkv", 96, 128, kQuatrainStore},
             {"tiny", "o", 128, 128, kQuatrainPartial},
             {"tiny", "gate_up", 320, 128, kQuatrainGated},
             {"tiny", "down", 128, 160, kQuatrainPartial}}};
  return {{{"7B", "qkv", 12288, 4096, kQuatrainStore},
           {"7B", "o", 4096, 4096, kQuatrainPartial},
           {"7B", "gate_up", 22016, 4096, kQuatrainGated},
           {"7B", "down", 4096, 11008, kQuatrainPartial}},
          {{"70B", "qkv", 10240, 8192, kQuatrainStore},
           {"70B", "o", 8192, 8192, kQuatrainPartial},
           {"70B", "gate_up", 57344, 8192, kQuatrainGated},
           {"70B", "down", 8192, 28672, kQuatrainPartial}}};
}

double Int4Bytes(const LinearShape& shape) {
  return static_cast<double>(
      TileBytes(shape.rows, LayOut(Blocks128(shape.cols), nullptr)));
}

Int4Copies::Int4Copies(const LinearShape& shape, int copies,
                       QuatrainStream stream)
    : table_(LayOut(Blocks128(shape.cols), nullptr).table_bytes) {
  const std::vector<int32_t> ends = Blocks128(shape.cols);
  std::vector<unsigned char> table(table_.bytes());
  const QuatrainLayout layout = LayOut(ends, table.data());
  CudaOk(Cuda().copy(table_.data(), table.data(), table.size(), stream),
         "copy");
  CudaOk(Cuda().stream_synchronize(stream), "stream_synchronize");
  view_ = {nullptr,
           table_.data(),
           shape.rows,
           shape.cols,
           static_cast<int>(ends.size()),
           layout.num_pairs,
           layout.tile_bytes,
           kQuatrainF16,
           kMaxScale};
  for (int i = 0; i < copies; ++i) {
    tiles_.emplace_back(TileBytes(shape.rows, layout));
    const QuatrainInt4 linear = view(i);
    const int parts = shape.gated() ? 2 : 1;
    for (int p = 0; p < parts; ++p)
      Pack(linear, tiles_[i].data(), shape.rows / parts, parts == 2 ? p + 1 : 0,
           2 * i + p + 1, stream);
  }
}

QuatrainInt4 Int4Copies::view(int i) const {
  QuatrainInt4 view = view_;
  view.tiles = tiles_[i % tiles_.size()].data();
  return view;
}

Digits::Digits(const QuatrainInt4& linear, int num_tokens, int num_digits)
    : num_digits_(num_digits),
      token_bytes_(64.0 * linear.num_pairs * num_digits +
                   sizeof(QuatrainDigitBlock) * linear.num_blocks + 4),
      digits_(static_cast<size_t>(num_tokens) * linear.num_pairs * 64 *
              num_digits),
      blocks_(static_cast<size_t>(num_tokens) * linear.num_blocks),
      states_(num_tokens) {}

QuatrainDigits Digits::view() const {
  return {digits_.data(), blocks_.data(), states_.data(), num_digits_};
}

double Digits::bytes(int tokens) const { return token_bytes_ * tokens; }

DeviceArray<float> RandomF32(size_t size, float scale, uint32_t seed,
                             QuatrainStream stream) {
  DeviceArray<float> values(size);
  LaunchFillF32(values.data(), size, scale, seed, stream);
  CudaOk(Cuda().stream_synchronize(stream), "stream_synchronize");
  return values;
}

DeviceArray<uint16_t> RandomF16(size_t size, float scale, uint32_t seed,
                                QuatrainStream stream) {
  DeviceArray<uint16_t> values(size);
  LaunchFillF16(values.data(), size, scale, seed, stream);
  CudaOk(Cuda().stream_synchronize(stream), "stream_synchronize");
  return values;
}

std::vector<int32_t> Blocks128(int cols) {
  std::vector<int32_t> ends;
  for (int k = 128; k < cols; k += 128) ends.push_back(k);
  ends.push_back(cols);
  return ends;
}

}  // namespace quatrain::bench
