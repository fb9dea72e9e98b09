#include "model/awq.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace quatrain {
namespace {

uint32_t LoadWord(const std::byte* words, size_t index) {
  uint32_t word;  // little-endian, as we are; perhaps not aligned
  std::memcpy(&word, words + index * sizeof(word), sizeof(word));
  return word;
}

// Rows of words that are asked for ahead: they lie far apart.
constexpr int kRowsAhead = 4;

// Two words at a time, each in the lower half of its lane.
using WordPair = uint64_t __attribute__((vector_size(16)));

// The nibbles of whole words as bytes, in the order of their columns: those of
// the lower halves become the even bytes, those of the upper halves the odd
// ones.
WordPair NibblesInOrder(WordPair words) {
  WordPair even = words & 0xffff, odd = words >> 16;
  even = (even | even << 24) & 0x000000ff000000ff;
  odd = (odd | odd << 24) & 0x000000ff000000ff;
  even = (even | even << 12) & 0x000f000f000f000f;
  odd = (odd | odd << 12) & 0x000f000f000f000f;
  return even | odd << 8;
}

void UnpackWords(const std::byte* words, int count, uint8_t* out) {
  int i = 0;
  for (; i + 2 <= count; i += 2, out += 16) {
    const WordPair pair = {LoadWord(words, i), LoadWord(words, i + 1)};
    const WordPair bytes = NibblesInOrder(pair);
    std::memcpy(out, &bytes, 16);
  }
  if (i == count) return;
  const WordPair bytes = NibblesInOrder(WordPair{LoadWord(words, i), 0});
  std::memcpy(out, &bytes, 8);
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

void UnpackAwq(const std::byte* words, size_t words_per_row, Range rows,
               Range columns, uint8_t* out) {
  // Whole words, and the columns before and after them.
  const int first = (columns.begin + 7) / 8, last = columns.end / 8;
  for (int row = rows.begin; row < rows.end; ++row) {
    const std::byte* from = words + row * words_per_row * sizeof(uint32_t);
    int column = columns.begin;
    const auto one_by_one = [&](int end) {
      for (; column < end; ++column)
        *out++ = LoadWord(from, column / 8) >> 4 * AwqNibble(column) & 15;
    };
    one_by_one(std::min(8 * first, columns.end));
    if (first < last) {
      const std::byte* ahead = from + kRowsAhead * words_per_row * 4;
      for (int word = first; word < last; word += 16)
        __builtin_prefetch(ahead + word * 4);
      UnpackWords(from + first * sizeof(uint32_t), last - first, out);
      out += 8 * (last - first);
      column = 8 * last;
    }
    one_by_one(columns.end);
  }
}

}  // namespace quatrain
