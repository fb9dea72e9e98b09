#include "model/awq.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace quatrain {
namespace {

// Rows of a tile: its nibbles in a register-friendly array, while the 128
// columns that share a cache line of words stay in the first-level cache.
constexpr int kTileRows = 64;

uint32_t LoadWord(const std::byte* words, size_t index) {
  uint32_t word;  // little-endian, as we are; perhaps not aligned
  std::memcpy(&word, words + index * sizeof(word), sizeof(word));
  return word;
}

// Rows of one word column into up to eight output rows.
void UnpackTile(const std::byte* words, size_t words_per_row, int row,
                int num_rows, int word, int column_begin, int column_end,
                uint8_t* out, size_t out_stride) {
  uint32_t packed[kTileRows];
  for (int i = 0; i < num_rows; ++i)
    packed[i] = LoadWord(words, (row + i) * words_per_row + word);
  const int first = std::max(8 * word, column_begin);
  const int last = std::min(8 * word + 8, column_end);
  for (int column = first; column < last; ++column) {
    const int shift = 4 * AwqNibble(column);
    uint8_t* to = out + (column - column_begin) * out_stride;
    for (int i = 0; i < num_rows; ++i)
      to[i] = static_cast<uint8_t>((packed[i] >> shift) & 15);
  }
}

// Shape [rows, cols] of a matrix, or nothing.
struct Matrix {
  int64_t rows = -1, cols = -1;
  TensorDType dtype = TensorDType::kBool;
  bool exists = false;
};

Matrix MatrixOf(const Checkpoint& checkpoint, const std::string& name) {
  const Tensor* tensor = checkpoint.Find(name);
  if (tensor == nullptr) return {};
  Matrix matrix{.dtype = tensor->dtype(), .exists = true};
  if (tensor->shape().size() == 2) {
    matrix.rows = tensor->shape()[0];
    matrix.cols = tensor->shape()[1];
  }
  return matrix;
}

// The packed tensors of one module.
struct Packed {
  Matrix qweight, qzeros, scales;
  bool has_g_idx = false;
};

// The name of a packed layout that is not GEMM, or nullptr.
const char* OtherLayout(const Packed& p) {
  if (p.has_g_idx) return "GPTQ";
  if (p.qweight.dtype == TensorDType::kI16) return "GEMV_FAST";
  if (p.scales.rows < 0) return nullptr;
  const bool gemm_columns = p.qweight.cols * 8 == p.scales.cols;
  const bool gemm_zeros = !p.qzeros.exists || (p.qzeros.rows == p.scales.rows &&
                                               p.qzeros.cols == p.qweight.cols);
  if (gemm_columns && gemm_zeros) return nullptr;
  if (p.qzeros.exists && p.qweight.rows == p.scales.rows &&
      p.qweight.rows == p.qzeros.rows && p.scales.cols == 8 * p.qzeros.cols)
    return "GEMV";
  if (p.qweight.cols == p.scales.cols) return "GPTQ";
  if (!p.qzeros.exists && p.qweight.cols == 2 * p.scales.cols) return "Marlin";
  return nullptr;
}

absl::Status Unsupported(const std::string& module, const char* layout) {
  return absl::UnimplementedError(
      absl::StrCat(module, ": is stored as ", layout,
                   ", which does not work here; those that do: AWQ GEMM, "
                   "unquantized f16, bf16 and f32"));
}

}  // namespace

absl::StatusOr<LinearFormat> DetectFormat(const Checkpoint& checkpoint,
                                          const std::string& module) {
  const auto has = [&](const char* suffix) {
    return checkpoint.Find(module + suffix) != nullptr;
  };
  if (has(".qweight") && has(".weight")) {
    return absl::InvalidArgumentError(
        absl::StrCat(module, ": both .qweight and .weight are there"));
  }
  if (has(".qweight")) {
    const Packed packed{.qweight = MatrixOf(checkpoint, module + ".qweight"),
                        .qzeros = MatrixOf(checkpoint, module + ".qzeros"),
                        .scales = MatrixOf(checkpoint, module + ".scales"),
                        .has_g_idx = has(".g_idx")};
    if (has(".scaled_zeros")) return Unsupported(module, "GEMV_FAST");
    if (const char* layout = OtherLayout(packed))
      return Unsupported(module, layout);
    return LinearFormat::kAwqGemm;
  }
  if (has(".weight_packed")) return Unsupported(module, "compressed-tensors");
  if (has(".B") && has(".s")) return Unsupported(module, "Marlin");
  if (has(".weight")) return LinearFormat::kDense;
  return absl::NotFoundError(absl::StrCat(
      module, ": no weight in the checkpoint, neither .weight nor .qweight"));
}

void UnpackAwqTransposed(const std::byte* words, size_t words_per_row,
                         int row_begin, int row_end, int column_begin,
                         int column_end, uint8_t* out, size_t out_stride) {
  for (int row = row_begin; row < row_end; row += kTileRows) {
    const int num_rows = std::min(kTileRows, row_end - row);
    for (int word = column_begin / 8; word * 8 < column_end; ++word) {
      UnpackTile(words, words_per_row, row, num_rows, word, column_begin,
                 column_end, out + (row - row_begin), out_stride);
    }
  }
}

}  // namespace quatrain
