#include "kernels/device_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quatrain {

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      tag_(std::move(other.tag_)) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(tag_, other.tag_);
  return *this;
}

DeviceBuffer::~DeviceBuffer() {
  if (memory_ != nullptr) memory_->Free(data_, size_, tag_);
}

absl::StatusOr<DeviceBuffer> DeviceMemory::Allocate(size_t bytes,
                                                    const std::string& tag) {
  if (bytes == 0) return DeviceBuffer();
  const int64_t wanted = static_cast<int64_t>(bytes);
  {
    MutexLock lock(&mutex_);
    if (limit_bytes_ > 0 && wanted > limit_bytes_ - used_bytes_) {
      std::string held;
      for (const auto& [name, used] : by_tag_)
        absl::StrAppend(&held, ", ", name, " hold ", used);
      return absl::ResourceExhaustedError(
          absl::StrCat("device memory: ", wanted, " bytes for ", tag,
                       " do not fit, the limit is ", limit_bytes_, held));
    }
    used_bytes_ += wanted;
    by_tag_[tag] += wanted;
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    Count(-wanted, tag);
    return absl::ResourceExhaustedError(
        absl::StrCat("device memory: the system refused ", wanted,
                     " bytes for ", tag, ": ", std::strerror(error)));
  }
  madvise(data, bytes, MADV_HUGEPAGE);  // advice only: failing is fine
  return DeviceBuffer(this, static_cast<std::byte*>(data), bytes, tag);
}

int64_t DeviceMemory::used_bytes() const {
  MutexLock lock(&mutex_);
  return used_bytes_;
}

std::map<std::string, int64_t> DeviceMemory::used_bytes_by_tag() const {
  MutexLock lock(&mutex_);
  return by_tag_;
}

void DeviceMemory::Free(std::byte* data, size_t bytes, const std::string& tag) {
  munmap(data, bytes);
  Count(-static_cast<int64_t>(bytes), tag);
}

void DeviceMemory::Count(int64_t bytes, const std::string& tag) {
  MutexLock lock(&mutex_);
  used_bytes_ += bytes;
  by_tag_[tag] += bytes;
}

}  // namespace quatrain
