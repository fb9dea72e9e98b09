#include "worker/shared_memory.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace quatrain {

// "pid fd bytes name"
struct SharedMemory::Address {
  int pid = 0, fd = -1;
  size_t bytes = 0;
  std::string name;

  static absl::StatusOr<Address> Parse(const std::string& text);
  std::string Text() const {
    return absl::StrCat(pid, " ", fd, " ", bytes, " ", name);
  }
  std::string Path() const { return absl::StrCat("/proc/", pid, "/fd/", fd); }
  // Whether the file behind Path() is the memory of that name. Another process,
  // or one on another host, may have anything there: it is not even opened.
  bool IsThere() const;
};

namespace {

// Nobody can make the memory smaller under those who have mapped it.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

absl::Status SystemError(const char* what) {
  return absl::UnavailableError(
      absl::StrCat("shared memory: ", what, ": ", std::strerror(errno)));
}

absl::StatusOr<std::string> RandomName() {
  uint64_t random[2];
  if (getrandom(random, sizeof(random), 0) != sizeof(random))
    return SystemError("no random numbers");
  return absl::StrCat("quatrain-", absl::Hex(random[0], absl::kZeroPad16),
                      absl::Hex(random[1], absl::kZeroPad16));
}

int NewMemory(const std::string& name) {
  // Hardened kernels insist on a word about code; older ones do not know it.
  constexpr unsigned kNoExec = 8;  // MFD_NOEXEC_SEAL
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const int fd = memfd_create(name.c_str(), kFlags | kNoExec);
  return fd >= 0 || errno != EINVAL ? fd : memfd_create(name.c_str(), kFlags);
}

absl::StatusOr<std::span<std::byte>> Map(int fd, size_t bytes) {
  void* memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return SystemError("cannot map it");
  return std::span<std::byte>(static_cast<std::byte*>(memory), bytes);
}

bool IsSealed(int fd, size_t bytes) {
  struct stat info;
  const int seals = fcntl(fd, F_GET_SEALS);
  return seals >= 0 && (seals & kSeals) == kSeals && fstat(fd, &info) == 0 &&
         static_cast<size_t>(info.st_size) == bytes;
}

}  // namespace

absl::StatusOr<SharedMemory::Address> SharedMemory::Address::Parse(
    const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ' ');
  Address address;
  if (parts.size() != 4 || !absl::SimpleAtoi(parts[0], &address.pid) ||
      !absl::SimpleAtoi(parts[1], &address.fd) ||
      !absl::SimpleAtoi(parts[2], &address.bytes)) {
    return absl::UnavailableError(
        absl::StrCat("shared memory: no address: '", text, "'"));
  }
  address.name = parts[3];
  return address;
}

bool SharedMemory::Address::IsThere() const {
  char target[PATH_MAX];
  const ssize_t length = readlink(Path().c_str(), target, sizeof(target));
  if (length < 0) return false;
  return std::string(target, length) ==
         absl::StrCat("/memfd:", name, " (deleted)");
}

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Create(
    size_t bytes) {
  Address address{.pid = getpid(), .bytes = bytes};
  ASSIGN_OR_RETURN(address.name, RandomName());
  address.fd = NewMemory(address.name);
  if (address.fd < 0) return SystemError("memfd_create");
  absl::StatusOr<std::span<std::byte>> mapped;
  if (ftruncate(address.fd, static_cast<off_t>(bytes)) != 0 ||
      fcntl(address.fd, F_ADD_SEALS, kSeals) != 0) {
    mapped = SystemError("cannot size it");
  } else {
    mapped = Map(address.fd, bytes);
  }
  if (!mapped.ok()) {
    close(address.fd);
    return mapped.status();
  }
  return std::unique_ptr<SharedMemory>(
      new SharedMemory(address.Text(), address.fd, -1, *mapped));
}

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Open(
    const std::string& text) {
  ASSIGN_OR_RETURN(const Address address, Address::Parse(text));
  // First, so that it is of the process whose memory is opened next. Without
  // it nobody would notice that a peer was killed: sockets do.
  const int owner = static_cast<int>(syscall(SYS_pidfd_open, address.pid, 0));
  if (owner < 0) return SystemError("no descriptor of its process");
  auto opened = OpenOf(address, owner);
  if (!opened.ok()) close(owner);
  return opened;
}

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::OpenOf(
    const Address& address, int owner) {
  if (!address.IsThere())
    return absl::UnavailableError(absl::StrCat(
        "shared memory: ", address.Path(), " is not ", address.name));
  const int fd = open(address.Path().c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return SystemError("cannot open it");
  absl::StatusOr<std::span<std::byte>> mapped =
      IsSealed(fd, address.bytes)
          ? Map(fd, address.bytes)
          : absl::UnavailableError("shared memory: not as its owner says");
  if (!mapped.ok()) {
    close(fd);
    return mapped.status();
  }
  return std::unique_ptr<SharedMemory>(
      new SharedMemory(address.Text(), fd, owner, *mapped));
}

SharedMemory::~SharedMemory() {
  munmap(bytes_.data(), bytes_.size());
  close(fd_);
  if (owner_fd_ >= 0) close(owner_fd_);
}

bool SharedMemory::OwnerIsGone() const {
  if (owner_fd_ < 0) return false;
  pollfd owner{.fd = owner_fd_, .events = POLLIN, .revents = 0};
  return poll(&owner, 1, 0) == 1;
}

}  // namespace quatrain
