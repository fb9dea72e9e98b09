#pragma once

#include <string>
#include <vector>

#include "tests/kernels/cuda/bench/bench.h"

// Linears of real models with random weights, in copies that are used in turn.
namespace quatrain::bench {

struct LinearShape {
  const char* model;
  const char* name;
  int rows, cols;
  int output;  // QuatrainOutput

  bool gated() const { return output == kQuatrainGated; }
  // Of one token's row of outputs: their number, and its distance to the next.
  int width() const { return gated() ? rows / 2 : rows; }
  int stride() const { return output == kQuatrainPartial ? rows + 1 : width(); }
  size_t out_bytes() const { return output == kQuatrainPartial ? 8 : 4; }
  std::string Describe() const;
};

// qkv, o, gate_up and down of each model.
std::vector<std::vector<LinearShape>> ModelShapes(bool smoke);

// An int4 linear of groups of 128 with f16 scales.
class Int4Copies {
 public:
  Int4Copies(const LinearShape& shape, int copies, QuatrainStream stream);

  int num_copies() const { return static_cast<int>(tiles_.size()); }
  QuatrainInt4 view(int i) const;
  double weight_bytes() const { return static_cast<double>(tiles_[0].bytes()); }

 private:
  QuatrainInt4 view_;
  DeviceArray<unsigned char> table_;
  std::vector<DeviceArray<unsigned char>> tiles_;
};

// The packed size of one copy.
double Int4Bytes(const LinearShape& shape);

// Digits of some tokens; those of the first few are what fewer would have.
class Digits {
 public:
  Digits(const QuatrainInt4& linear, int num_tokens, int num_digits);

  QuatrainDigits view() const;
  // What a product reads of `tokens`.
  double bytes(int tokens) const;

 private:
  int num_digits_;
  double token_bytes_;
  DeviceArray<int8_t> digits_;
  DeviceArray<QuatrainDigitBlock> blocks_;
  DeviceArray<int32_t> states_;
};

DeviceArray<float> RandomF32(size_t size, float scale, uint32_t seed,
                             QuatrainStream stream);
DeviceArray<uint16_t> RandomF16(size_t size, float scale, uint32_t seed,
                                QuatrainStream stream);

// Ends of blocks of 128.
std::vector<int32_t> Blocks128(int cols);

}  // namespace quatrain::bench
