#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/safetensors.h"

namespace quatrain {

// One tensor of a checkpoint, by reference into its file.
struct Tensor {
  const SafetensorsFile* file = nullptr;
  const TensorInfo* info = nullptr;

  const std::string& name() const { return info->name; }
  TensorDType dtype() const { return info->dtype; }
  std::span<const int64_t> shape() const { return info->shape; }
  // Mapped; not necessarily aligned for the element type.
  std::span<const std::byte> bytes() const { return file->Bytes(*info); }
  void DropPages() const { file->DropPages(*info, 0, info->end - info->begin); }
};

// The tensors of one model folder: `model.safetensors`, or the files that
// `model.safetensors.index.json` names. Files stay mapped as long as the object
// lives; nothing is read but headers. Const methods are thread-safe.
class Checkpoint {
 public:
  // NotFound if the folder holds neither file or the index names one that is
  // missing; InvalidArgument if a file breaks a rule or contradicts the index.
  static absl::StatusOr<Checkpoint> Open(const std::string& folder);

  // nullptr if there is none of that name. Valid as long as the checkpoint,
  // also after it was moved.
  const Tensor* Find(std::string_view name) const;

  std::span<const Tensor> tensors() const { return tensors_; }  // by name
  std::span<const std::string> files() const { return paths_; }
  int64_t total_bytes() const { return total_bytes_; }  // of all tensors

  // Names, types and shapes of all tensors and a sample of their bytes, as a
  // 64-bit number: equal for copies of one model however it is split over
  // files, different for another model of the same shape.
  uint64_t digest() const { return digest_; }

 private:
  Checkpoint() = default;
  // Fills the rest from files_; `what` is named if a tensor is there twice.
  absl::Status CollectTensors(const std::string& what);

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<std::string> paths_;
  std::vector<Tensor> tensors_;
  int64_t total_bytes_ = 0;
  uint64_t digest_ = 0;
};

}  // namespace quatrain
