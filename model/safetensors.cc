#include "model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

struct DTypeRow {
  TensorDType dtype;
  const char* name;
  int bits;
};
// In the order of the enumeration.
constexpr DTypeRow kDTypes[] = {
    {TensorDType::kBool, "BOOL", 8},      {TensorDType::kU8, "U8", 8},
    {TensorDType::kI8, "I8", 8},          {TensorDType::kU16, "U16", 16},
    {TensorDType::kI16, "I16", 16},       {TensorDType::kF16, "F16", 16},
    {TensorDType::kBF16, "BF16", 16},     {TensorDType::kU32, "U32", 32},
    {TensorDType::kI32, "I32", 32},       {TensorDType::kF32, "F32", 32},
    {TensorDType::kU64, "U64", 64},       {TensorDType::kI64, "I64", 64},
    {TensorDType::kF64, "F64", 64},       {TensorDType::kC64, "C64", 64},
    {TensorDType::kF8E4M3, "F8_E4M3", 8}, {TensorDType::kF8E5M2, "F8_E5M2", 8},
    {TensorDType::kF8E8M0, "F8_E8M0", 8}, {TensorDType::kF6E2M3, "F6_E2M3", 6},
    {TensorDType::kF6E3M2, "F6_E3M2", 6}, {TensorDType::kF4, "F4", 4},
};

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kFormatMaxHeaderBytes = 100'000'000;

absl::Status Refused(const std::string& path, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", why));
}

// The length field, checked against the file.
absl::StatusOr<uint64_t> HeaderBytes(std::span<const std::byte> bytes,
                                     const std::string& path,
                                     const SafetensorsLimits& limits) {
  if (bytes.size() < kLengthBytes) {
    return Refused(path, absl::StrCat(bytes.size(),
                                      " bytes, a safetensors file has at "
                                      "least 8"));
  }
  uint64_t length;  // little-endian, as we are
  std::memcpy(&length, bytes.data(), kLengthBytes);
  const uint64_t max = std::min(limits.max_header_bytes, kFormatMaxHeaderBytes);
  if (length < 2 || length > max) {
    return Refused(
        path, absl::StrCat("header of ", length, " bytes, expected 2..", max));
  }
  if (length > bytes.size() - kLengthBytes) {
    return Refused(path, absl::StrCat("header of ", length,
                                      " bytes, but the file ends after ",
                                      bytes.size() - kLengthBytes));
  }
  return length;
}

}  // namespace

const char* Name(TensorDType dtype) {
  return kDTypes[static_cast<size_t>(dtype)].name;
}

int BitsOf(TensorDType dtype) {
  return kDTypes[static_cast<size_t>(dtype)].bits;
}

std::optional<TensorDType> TensorDTypeOf(std::string_view name) {
  for (const DTypeRow& row : kDTypes)
    if (name == row.name) return row.dtype;
  return std::nullopt;
}

std::optional<DType> ToDType(TensorDType dtype) {
  switch (dtype) {
    case TensorDType::kF16:
      return DType::kF16;
    case TensorDType::kBF16:
      return DType::kBF16;
    case TensorDType::kF32:
      return DType::kF32;
    case TensorDType::kF64:
      return DType::kF64;
    case TensorDType::kI32:
      return DType::kI32;
    case TensorDType::kI64:
      return DType::kI64;
    default:
      return std::nullopt;
  }
}

std::string ShapeText(std::span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape.begin(), shape.end(), ", "),
                      "]");
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(
    const std::string& path, const SafetensorsLimits& limits) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  ASSIGN_OR_RETURN(const uint64_t length,
                   HeaderBytes(file.bytes(), path, limits));
  const uint64_t data_offset = kLengthBytes + length;
  const std::string_view json(
      reinterpret_cast<const char*>(file.bytes().data()) + kLengthBytes,
      length);
  ASSIGN_OR_RETURN(std::vector<TensorInfo> tensors,
                   ParseSafetensorsHeader(
                       json, file.bytes().size() - data_offset, path, limits));
  return SafetensorsFile(path, std::move(file), data_offset,
                         std::move(tensors));
}

SafetensorsFile::SafetensorsFile(std::string path, MappedFile file,
                                 uint64_t data_offset,
                                 std::vector<TensorInfo> tensors)
    : path_(std::move(path)),
      file_(std::move(file)),
      data_offset_(data_offset),
      tensors_(std::move(tensors)) {}

std::span<const std::byte> SafetensorsFile::Bytes(
    const TensorInfo& info) const {
  return file_.bytes().subspan(data_offset_ + info.begin,
                               info.end - info.begin);
}

void SafetensorsFile::DropPages(const TensorInfo& info, size_t offset,
                                size_t length) const {
  file_.DropPages(data_offset_ + info.begin + offset, length);
}

}  // namespace quatrain
