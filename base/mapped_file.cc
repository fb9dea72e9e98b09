#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quatrain {
namespace {

absl::Status SystemError(const std::string& path, const char* call) {
  const int error = errno;
  const std::string message =
      absl::StrCat(path, ": ", call, ": ", std::strerror(error));
  if (error == ENOENT || error == ENOTDIR)
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  if (error == EACCES) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

// The size of the regular file behind `descriptor`.
absl::StatusOr<size_t> RegularSize(int descriptor, const std::string& path) {
  struct stat info;
  if (fstat(descriptor, &info) != 0) return SystemError(path, "fstat");
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not a regular file"));
  }
  return static_cast<size_t>(info.st_size);
}

}  // namespace

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return SystemError(path, "open");
  const absl::StatusOr<size_t> size = RegularSize(descriptor, path);
  if (!size.ok() || *size == 0) {
    close(descriptor);
    if (!size.ok()) return size.status();
    return MappedFile(nullptr, 0);  // an empty file cannot be mapped
  }
  void* data = mmap(nullptr, *size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const absl::Status error =
      data == MAP_FAILED ? SystemError(path, "mmap") : absl::OkStatus();
  close(descriptor);  // the mapping stays
  if (!error.ok()) return error;
  return MappedFile(static_cast<const std::byte*>(data), *size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::DropPages(size_t offset, size_t length) const {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = (offset + length) / page * page;
  if (begin >= end || end > size_) return;
  // Advice: nothing depends on its success.
  madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace quatrain
