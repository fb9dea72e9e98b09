#include "model/checkpoint.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/status_macros.h"
#include "spdlog/spdlog.h"

namespace quatrain {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr JsonLimits kIndexLimits = {.max_depth = 3, .max_bytes = 64u << 20};

absl::Status Refused(const std::string& path, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", why));
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text.substr(0, 200)),
                      "\"");
}

bool IsFileName(const std::string& name) {
  constexpr char kAllowed[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  return !name.empty() && name.size() <= 128 && name[0] != '.' &&
         name.find_first_not_of(kAllowed) == std::string::npos;
}

struct Index {
  std::map<std::string, std::string> weight_map;  // tensor -> file name
  std::optional<int64_t> total_size;
};

absl::StatusOr<Index> ReadIndex(const std::string& path) {
  ASSIGN_OR_RETURN(const nlohmann::json json,
                   ParseJsonFile(path, kIndexLimits));
  ASSIGN_OR_RETURN(const JsonObject top, JsonObject::Of(json, path));
  const nlohmann::json* map = top.Find("weight_map");
  if (map == nullptr || !map->is_object() || map->empty())
    return top.Wrong("weight_map", "an object of tensor names and file names");
  Index index;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !IsFileName(file.get<std::string>())) {
      return Refused(
          path,
          absl::StrCat(
              Quoted(tensor), " is in ",
              Quoted(file.is_string() ? file.get<std::string>()
                                      : file.dump(-1, ' ', true)),
              ", expected a file name of A-Z a-z 0-9 . _ - in this folder"));
    }
    index.weight_map[tensor] = file.get<std::string>();
  }
  if (const nlohmann::json* metadata = top.Find("metadata");
      metadata != nullptr && metadata->is_object()) {
    const auto size = metadata->find("total_size");
    if (size != metadata->end() && size->is_number_unsigned())
      index.total_size = size->get<int64_t>();
  }
  return index;
}

// Opens every file that the index names, in order of their names.
absl::StatusOr<std::vector<std::unique_ptr<SafetensorsFile>>> OpenFiles(
    const std::string& folder, const std::string& index_path,
    const std::set<std::string>& names) {
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  for (const std::string& name : names) {
    absl::StatusOr<SafetensorsFile> file =
        SafetensorsFile::Open(absl::StrCat(folder, "/", name));
    if (absl::IsNotFound(file.status())) {
      return absl::NotFoundError(
          absl::StrCat(index_path, ": names ", name, ": no such file"));
    }
    RETURN_IF_ERROR(file.status());
    files.push_back(std::make_unique<SafetensorsFile>(*std::move(file)));
  }
  return files;
}

std::string BaseName(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// Every tensor must be in exactly the file that the index names.
absl::Status CheckAgainstIndex(const std::vector<Tensor>& tensors,
                               const Index& index, const std::string& path) {
  for (const Tensor& tensor : tensors) {
    const std::string file = BaseName(tensor.file->path());
    const auto entry = index.weight_map.find(tensor.name());
    if (entry == index.weight_map.end()) {
      return Refused(path,
                     absl::StrCat(Quoted(tensor.name()), ": found in ", file,
                                  ", the index has no such tensor"));
    }
    if (entry->second != file) {
      return Refused(path,
                     absl::StrCat(Quoted(tensor.name()), ": found in ", file,
                                  ", the index says ", entry->second));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAllFound(const Checkpoint& checkpoint, const Index& index,
                           const std::string& path) {
  for (const auto& [tensor, file] : index.weight_map) {
    if (checkpoint.Find(tensor) == nullptr) {
      return Refused(path, absl::StrCat(Quoted(tensor), ": not in ", file,
                                        ", where the index says it is"));
    }
  }
  if (index.total_size && *index.total_size != checkpoint.total_bytes()) {
    spdlog::warn("{}: total_size {}, the tensors have {} bytes", path,
                 *index.total_size, checkpoint.total_bytes());
  }
  return absl::OkStatus();
}

uint64_t Chain(uint64_t digest, const std::string& text) {
  return ChainDigest(digest, std::as_bytes(std::span(text)));
}

uint64_t DigestOf(std::span<const Tensor> tensors) {
  uint64_t digest = 0;
  for (const Tensor& tensor : tensors) {
    digest = Chain(digest, tensor.name());
    digest = Chain(digest, Name(tensor.dtype()));
    digest = Chain(digest, ShapeText(tensor.shape()));
  }
  // Two models of one shape differ in almost every tensor: a few bytes from
  // the middle of a few dozen tell them apart, at one page read each.
  constexpr size_t kSamples = 32, kSampleBytes = 64;
  const size_t stride = std::max<size_t>(1, tensors.size() / kSamples);
  for (size_t i = 0; i < tensors.size(); i += stride) {
    const std::span<const std::byte> bytes = tensors[i].bytes();
    const size_t size = std::min(kSampleBytes, bytes.size());
    digest =
        ChainDigest(digest, bytes.subspan((bytes.size() - size) / 2, size));
  }
  return digest;
}

}  // namespace

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& folder) {
  const std::string single = absl::StrCat(folder, "/", kSingleFile);
  const std::string index_path = absl::StrCat(folder, "/", kIndexFile);
  Checkpoint checkpoint;
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(single);
  if (file.ok()) {
    checkpoint.files_.push_back(
        std::make_unique<SafetensorsFile>(*std::move(file)));
    RETURN_IF_ERROR(checkpoint.CollectTensors(single));
    return checkpoint;
  }
  if (!absl::IsNotFound(file.status())) return file.status();
  const absl::StatusOr<Index> index = ReadIndex(index_path);
  if (absl::IsNotFound(index.status())) {
    return absl::NotFoundError(
        absl::StrCat(folder, ": neither ", kSingleFile, " nor ", kIndexFile,
                     " (other formats are not read; convert to safetensors)"));
  }
  RETURN_IF_ERROR(index.status());
  std::set<std::string> names;
  for (const auto& [tensor, name] : index->weight_map) names.insert(name);
  ASSIGN_OR_RETURN(checkpoint.files_, OpenFiles(folder, index_path, names));
  RETURN_IF_ERROR(checkpoint.CollectTensors(index_path));
  RETURN_IF_ERROR(CheckAgainstIndex(checkpoint.tensors_, *index, index_path));
  RETURN_IF_ERROR(CheckAllFound(checkpoint, *index, index_path));
  return checkpoint;
}

absl::Status Checkpoint::CollectTensors(const std::string& what) {
  for (const auto& file : files_) {
    paths_.push_back(file->path());
    for (const TensorInfo& info : file->tensors()) {
      tensors_.push_back({file.get(), &info});
      total_bytes_ += static_cast<int64_t>(info.end - info.begin);
    }
  }
  std::sort(
      tensors_.begin(), tensors_.end(),
      [](const Tensor& a, const Tensor& b) { return a.name() < b.name(); });
  for (size_t i = 1; i < tensors_.size(); ++i) {
    if (tensors_[i].name() == tensors_[i - 1].name()) {
      return Refused(
          what, absl::StrCat(Quoted(tensors_[i].name()), ": in ",
                             BaseName(tensors_[i - 1].file->path()), " and in ",
                             BaseName(tensors_[i].file->path())));
    }
  }
  digest_ = DigestOf(tensors_);
  return absl::OkStatus();
}

const Tensor* Checkpoint::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const Tensor& tensor, std::string_view n) {
                         return tensor.name() < n;
                       });
  return found == tensors_.end() || found->name() != name ? nullptr : &*found;
}

}  // namespace quatrain
