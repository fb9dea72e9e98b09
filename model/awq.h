#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"
#include "model/range.h"

namespace quatrain {

// How a linear is stored.
enum class LinearFormat : uint8_t { kDense, kAwqGemm };

// Decides by the tensors that module `module` has
// ("model.layers.0.mlp.up_proj"), not by what a config says. Unimplemented,
// naming the format, for GEMV, GEMV_FAST, Marlin, GPTQ and compressed-tensors;
// NotFound if it has no weight.
absl::StatusOr<LinearFormat> DetectFormat(const Checkpoint& checkpoint,
                                          const std::string& module);

// In a packed word of the GEMM layout, the nibble of column c: nibbles from the
// low end hold columns 0, 2, 4, 6, 1, 3, 5, 7.
constexpr int AwqNibble(int column) {
  return ((column & 7) >> 1) + 4 * (column & 1);
}

// Words of `words` (little-endian, not necessarily aligned), a matrix of
// `words_per_row` words a row, hold columns 8w .. 8w + 7 each. Writes the
// nibbles of these rows and columns as bytes, [rows.size()][columns.size()].
void UnpackAwq(const std::byte* words, size_t words_per_row, Range rows,
               Range columns, uint8_t* out);

}  // namespace quatrain
