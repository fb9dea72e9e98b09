#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace quatrain {

// Memory that processes of one host share. It has no name in any file system,
// so that nothing stays behind whoever dies, and needs no room in /dev/shm, of
// which containers have little. Pages count from their first use.
class SharedMemory {
 public:
  // New memory, all zero. Unavailable where the system gives none.
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Create(size_t bytes);

  // Memory of another process (or of this one), given its address(). Its owner
  // must still hold it. Unavailable if that process is on another host, in
  // another container, or another user's, or the system cannot tell when it
  // ends.
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Open(
      const std::string& address);

  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Tells one text from any other of any process on any host.
  const std::string& address() const { return address_; }
  std::span<std::byte> bytes() const { return bytes_; }

  // Whether the process that made it, if that was another, has ended.
  bool OwnerIsGone() const;

 private:
  struct Address;
  static absl::StatusOr<std::unique_ptr<SharedMemory>> OpenOf(
      const Address& address, int owner_fd);
  SharedMemory(std::string address, int fd, int owner_fd,
               std::span<std::byte> bytes)
      : address_(std::move(address)),
        fd_(fd),
        owner_fd_(owner_fd),
        bytes_(bytes) {}

  const std::string address_;
  const int fd_;
  const int owner_fd_;  // readable once the owner has ended; -1: own memory
  const std::span<std::byte> bytes_;
};

}  // namespace quatrain
