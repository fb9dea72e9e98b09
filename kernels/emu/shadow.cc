#include "kernels/emu/shadow.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/emu/checks.h"

namespace simt::emu {

void* MapZeroes(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory != MAP_FAILED) return memory;
  std::fprintf(stderr, "simt: no memory for the state of %zu bytes\n", bytes);
  std::abort();
}

void UnmapZeroes(void* memory, size_t bytes) {
  if (memory != nullptr) munmap(memory, bytes);
}

SharedShadow::SharedShadow(size_t bytes) : bytes_(bytes) {
  if (!checking) return;
  states_ = static_cast<ByteState*>(MapZeroes(bytes));
  histories_ =
      static_cast<ByteHistory*>(MapZeroes(bytes * sizeof(ByteHistory)));
}

SharedShadow::~SharedShadow() {
  UnmapZeroes(states_, bytes_);
  UnmapZeroes(histories_, bytes_ * sizeof(ByteHistory));
}

void SharedShadow::Set(size_t begin, size_t end, ByteState state) {
  if (states_ != nullptr)
    std::memset(states_ + begin, static_cast<int>(state), end - begin);
}

}  // namespace simt::emu
