#include "model/linear_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/half.h"
#include "base/status_macros.h"
#include "model/k_blocks.h"

namespace quatrain {
namespace {

absl::Status WrongShape(const Tensor& tensor,
                        const std::vector<int64_t>& expected) {
  return absl::InvalidArgumentError(
      absl::StrCat(tensor.name(), ": shape ", ShapeText(tensor.shape()),
                   ", config.json implies ", ShapeText(expected)));
}

// The tensor `name`, which must be there and have this shape.
absl::StatusOr<const Tensor*> FindShaped(const Checkpoint& checkpoint,
                                         const std::string& name,
                                         const std::vector<int64_t>& shape) {
  const Tensor* tensor = checkpoint.Find(name);
  if (tensor == nullptr)
    return absl::NotFoundError(absl::StrCat(name, ": not in the checkpoint"));
  if (!std::equal(shape.begin(), shape.end(), tensor->shape().begin(),
                  tensor->shape().end()))
    return WrongShape(*tensor, shape);
  return tensor;
}

bool IsFloat(TensorDType dtype) {
  return dtype == TensorDType::kF16 || dtype == TensorDType::kBF16 ||
         dtype == TensorDType::kF32;
}

absl::StatusOr<DType> FloatDType(const Tensor& tensor) {
  if (IsFloat(tensor.dtype())) return *ToDType(tensor.dtype());
  return absl::InvalidArgumentError(
      absl::StrCat(tensor.name(), ": dtype ", Name(tensor.dtype()),
                   ", expected F16, BF16 or F32"));
}

absl::Status CheckWords(const Tensor& tensor) {
  if (tensor.dtype() == TensorDType::kI32) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      tensor.name(), ": dtype ", Name(tensor.dtype()), ", expected I32"));
}

template <typename T>
T Load(const std::byte* bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

float LoadFloat(const std::byte* bytes, DType dtype, size_t index) {
  switch (dtype) {
    case DType::kF16:
      return F16ToF32(Load<uint16_t>(bytes, index));
    case DType::kBF16:
      return BF16ToF32(Load<uint16_t>(bytes, index));
    default:
      return Load<float>(bytes, index);
  }
}

absl::Status NotFinite(const Tensor& scales, int group, int n) {
  return absl::InvalidArgumentError(
      absl::StrCat(scales.name(), ": the scale of output ", n, ", group ",
                   group, " is not finite"));
}

}  // namespace

absl::StatusOr<LinearSlice> OpenLinear(const Checkpoint& checkpoint,
                                       const std::string& module, int n, int k,
                                       bool has_bias, Range rows, Range columns,
                                       int head_dim) {
  LinearSlice slice;
  slice.rows_ = rows;
  slice.columns_ = columns;
  slice.n_ = n;
  slice.k_ = k;
  ASSIGN_OR_RETURN(slice.format_, DetectFormat(checkpoint, module));
  if (slice.is_int4()) {
    RETURN_IF_ERROR(slice.FindPacked(checkpoint, module));
  } else {
    ASSIGN_OR_RETURN(slice.weight_,
                     FindShaped(checkpoint, module + ".weight", {n, k}));
    ASSIGN_OR_RETURN(slice.dtype_, FloatDType(*slice.weight_));
  }
  RETURN_IF_ERROR(slice.FindBias(checkpoint, module, has_bias));
  slice.block_ends_ =
      BlocksWithin(KBlockEnds(k, slice.group_size_, head_dim), columns);
  return slice;
}

absl::Status LinearSlice::FindPacked(const Checkpoint& checkpoint,
                                     const std::string& module) {
  if (n_ % 8 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        module, ": ", n_, " outputs, a packed linear has a multiple of 8"));
  }
  ASSIGN_OR_RETURN(weight_,
                   FindShaped(checkpoint, module + ".qweight", {k_, n_ / 8}));
  RETURN_IF_ERROR(CheckWords(*weight_));
  RETURN_IF_ERROR(FindScales(checkpoint, module + ".scales"));
  zeros_ = checkpoint.Find(module + ".qzeros");
  if (zeros_ == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(zeros_, FindShaped(checkpoint, module + ".qzeros",
                                      {k_ / group_size_, n_ / 8}));
  return CheckWords(*zeros_);
}

absl::Status LinearSlice::FindScales(const Checkpoint& checkpoint,
                                     const std::string& name) {
  scales_ = checkpoint.Find(name);
  if (scales_ == nullptr)
    return absl::NotFoundError(absl::StrCat(name, ": not in the checkpoint"));
  const std::span<const int64_t> shape = scales_->shape();
  if (shape.size() != 2 || shape[1] != n_ || shape[0] < 1 ||
      k_ % shape[0] != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": shape ", ShapeText(shape),
                     ", config.json implies [number of groups, ", n_,
                     "] where the groups divide ", k_));
  }
  group_size_ = static_cast<int>(k_ / shape[0]);
  ASSIGN_OR_RETURN(dtype_, FloatDType(*scales_));
  return absl::OkStatus();
}

absl::Status LinearSlice::FindBias(const Checkpoint& checkpoint,
                                   const std::string& module, bool has_bias) {
  const std::string name = module + ".bias";
  if (!has_bias) {
    if (checkpoint.Find(name) == nullptr) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": is in the checkpoint, config.json implies no bias"));
  }
  ASSIGN_OR_RETURN(bias_, FindShaped(checkpoint, name, {n_}));
  return FloatDType(*bias_).status();
}

absl::Status LinearSlice::ReadInt4(Range rows, Range blocks, uint8_t* q,
                                   uint8_t* z, float* s) const {
  CHECK(is_int4() && 0 <= rows.begin && rows.end <= num_rows());
  CHECK(0 <= blocks.begin && blocks.end <= num_blocks());
  const Range outputs = {rows_.begin + rows.begin, rows_.begin + rows.end};
  for (int block = blocks.begin; block < blocks.end; ++block) {
    const int begin = columns_.begin + (block > 0 ? block_ends_[block - 1] : 0);
    const int end = columns_.begin + block_ends_[block];
    UnpackAwq(weight_->bytes().data(), n_ / 8, {begin, end}, outputs, q);
    q += static_cast<size_t>(end - begin) * rows.size();
    const int group = begin / group_size_;
    if (zeros_ == nullptr)
      std::fill_n(z, rows.size(), uint8_t{8});
    else
      UnpackAwq(zeros_->bytes().data(), n_ / 8, {group, group + 1}, outputs, z);
    z += rows.size();
    RETURN_IF_ERROR(ReadScales(group, outputs.begin, outputs.end, s));
    s += rows.size();
  }
  return absl::OkStatus();
}

absl::Status LinearSlice::ReadScales(int group, int first, int last,
                                     float* out) const {
  const std::byte* scales = scales_->bytes().data();
  const size_t row = static_cast<size_t>(group) * n_;
  for (int n = first; n < last; ++n) {
    const float scale = LoadFloat(scales, dtype_, row + n);
    if (!std::isfinite(scale)) return NotFinite(*scales_, group, n);
    *out++ = scale;
  }
  return absl::OkStatus();
}

absl::Status LinearSlice::ReadDense(int begin, int end, void* raw) const {
  CHECK(!is_int4() && 0 <= begin && begin <= end && end <= num_rows());
  const size_t item = SizeOf(dtype_);
  const size_t row_bytes = num_cols() * item;
  const std::byte* from = weight_->bytes().data() + columns_.begin * item;
  std::byte* to = static_cast<std::byte*>(raw);
  for (int row = begin; row < end; ++row, to += row_bytes) {
    const size_t index = rows_.begin + row;
    std::memcpy(to, from + index * k_ * item, row_bytes);
  }
  return absl::OkStatus();
}

std::vector<float> LinearSlice::Bias() const {
  std::vector<float> values;
  if (bias_ == nullptr) return values;
  const DType dtype = *ToDType(bias_->dtype());
  for (int n = rows_.begin; n < rows_.end; ++n)
    values.push_back(LoadFloat(bias_->bytes().data(), dtype, n));
  return values;
}

void LinearSlice::DropPages() const {
  for (const Tensor* tensor : {weight_, scales_, zeros_, bias_})
    if (tensor != nullptr) tensor->DropPages();
}

int64_t LinearSlice::stored_bytes() const {
  const int64_t rows = num_rows(), weights = rows * num_cols();
  int64_t bytes = bias_ == nullptr ? 0 : rows * BitsOf(bias_->dtype()) / 8;
  if (!is_int4()) return bytes + weights * SizeOf(dtype_);
  const int first = columns_.begin / group_size_;
  const int last = (columns_.end + group_size_ - 1) / group_size_;
  const int64_t groups = rows * (last - first);
  bytes += weights / 2 + groups * SizeOf(dtype_);
  return zeros_ == nullptr ? bytes : bytes + groups / 2;
}

absl::StatusOr<std::vector<float>> ReadVector(const Checkpoint& checkpoint,
                                              const std::string& name,
                                              int length) {
  ASSIGN_OR_RETURN(const Tensor* tensor,
                   FindShaped(checkpoint, name, {length}));
  ASSIGN_OR_RETURN(const DType dtype, FloatDType(*tensor));
  std::vector<float> values(length);
  for (int i = 0; i < length; ++i)
    values[i] = LoadFloat(tensor->bytes().data(), dtype, i);
  return values;
}

absl::StatusOr<TableRows> OpenTable(const Checkpoint& checkpoint,
                                    const std::string& name, int num_rows,
                                    int num_columns, Range rows) {
  CHECK(0 <= rows.begin && rows.end <= num_rows);
  ASSIGN_OR_RETURN(const Tensor* tensor,
                   FindShaped(checkpoint, name, {num_rows, num_columns}));
  ASSIGN_OR_RETURN(const DType dtype, FloatDType(*tensor));
  const size_t row_bytes = static_cast<size_t>(num_columns) * SizeOf(dtype);
  return TableRows{
      tensor, dtype,
      tensor->bytes().subspan(rows.begin * row_bytes, rows.size() * row_bytes)};
}

}  // namespace quatrain
