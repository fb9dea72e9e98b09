#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "base/mapped_file.h"

namespace quatrain {

// Element types that a safetensors file may name. A file with any other name is
// refused; most of these we only skip over.
enum class TensorDType : uint8_t {
  kBool,
  kU8,
  kI8,
  kU16,
  kI16,
  kF16,
  kBF16,
  kU32,
  kI32,
  kF32,
  kU64,
  kI64,
  kF64,
  kC64,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF6E2M3,
  kF6E3M2,
  kF4,
};

// As the file spells it: "F16", "I32".
const char* Name(TensorDType dtype);
std::optional<TensorDType> TensorDTypeOf(std::string_view name);
int BitsOf(TensorDType dtype);
// The arithmetic type, for those that have one.
std::optional<DType> ToDType(TensorDType dtype);

// One entry of a header. The bytes are [begin, end) of the file's data, which
// follows the header.
struct TensorInfo {
  std::string name;
  TensorDType dtype = TensorDType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

// "[4096, 512]"
std::string ShapeText(std::span<const int64_t> shape);

struct SafetensorsLimits {
  uint64_t max_header_bytes = 32u
                              << 20;  // the format itself allows 100,000,000
  int64_t max_tensors = 1'000'000;
};

// Parses a header: its JSON text, and how many bytes of data follow it. Entries
// come back sorted by name. Everything that the format leaves open is refused
// (README.md lists the rules); `what` names the file in messages.
absl::StatusOr<std::vector<TensorInfo>> ParseSafetensorsHeader(
    std::string_view json, uint64_t data_bytes, std::string_view what,
    const SafetensorsLimits& limits = {});

// One mapped *.safetensors file.
class SafetensorsFile {
 public:
  // NotFound if there is no such file, InvalidArgument if it breaks a rule.
  static absl::StatusOr<SafetensorsFile> Open(
      const std::string& path, const SafetensorsLimits& limits = {});

  const std::string& path() const { return path_; }
  std::span<const TensorInfo> tensors() const { return tensors_; }  // by name

  // Row-major, little-endian, not necessarily aligned for the element type.
  std::span<const std::byte> Bytes(const TensorInfo& info) const;

  // As MappedFile::DropPages, of bytes [offset, offset + length) of a tensor.
  void DropPages(const TensorInfo& info, size_t offset, size_t length) const;

 private:
  SafetensorsFile(std::string path, MappedFile file, uint64_t data_offset,
                  std::vector<TensorInfo> tensors);

  std::string path_;
  MappedFile file_;
  uint64_t data_offset_ = 0;
  std::vector<TensorInfo> tensors_;
};

}  // namespace quatrain
