#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/mutex.h"

namespace quatrain {

class DeviceMemory;

// Owns one allocation and gives it back.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer other) noexcept;
  ~DeviceBuffer();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  friend class DeviceMemory;
  DeviceBuffer(DeviceMemory* memory, std::byte* data, size_t size,
               std::string tag)
      : memory_(memory), data_(data), size_(size), tag_(std::move(tag)) {}

  DeviceMemory* memory_ = nullptr;  // outlives the buffer
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string tag_;
};

// The one allocator of a rank: counts by tag (weights, kv, runtime) and refuses
// what would pass the rank's budget. Host memory, straight from the system: on
// page boundaries, zeroed, in huge pages where the system gives them, touched
// first by whoever writes first. Counts the bytes asked for, without the last
// page's rest. Outlives its buffers. Thread-safe.
class DeviceMemory {
 public:
  // limit_bytes: all that this rank may hold at a time; 0 = no limit.
  explicit DeviceMemory(int64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // ResourceExhausted with the numbers per tag when the limit would be passed.
  absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, const std::string& tag);

  int64_t limit_bytes() const { return limit_bytes_; }
  int64_t used_bytes() const;
  std::map<std::string, int64_t> used_bytes_by_tag() const;

 private:
  friend class DeviceBuffer;
  void Free(std::byte* data, size_t bytes, const std::string& tag);
  void Count(int64_t bytes, const std::string& tag);  // may be negative

  const int64_t limit_bytes_;
  mutable Mutex mutex_;
  int64_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, int64_t> by_tag_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quatrain
