#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace quatrain {

// A whole file mapped read-only. Spans taken from bytes() die with the object.
// A file that others truncate while it is mapped ends the process (SIGBUS):
// model folders must not be written while they are served.
class MappedFile {
 public:
  // Follows symbolic links (hub caches are made of them). NotFound if there is
  // no such file, InvalidArgument if it is not a regular file, Unavailable for
  // other system errors. The size is the open descriptor's.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Tells the system that bytes [offset, offset + length) will not be read
  // again soon, so that they stop counting as this process's memory. Whole
  // pages inside the range only; reading them again is correct, only slower.
  void DropPages(size_t offset, size_t length) const;

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}

  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace quatrain
