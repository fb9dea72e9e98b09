#include "kernels/emu/stacks.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/emu/fiber.h"

namespace simt::emu {
namespace {

constexpr size_t kGuardBytes = 4096;
constexpr int kStacksAtOnce = 32;  // a warp's

}  // namespace

std::byte* Stacks::Get(int thread) {
  while (static_cast<int>(stacks_.size()) <= thread) Map(kStacksAtOnce);
  return stacks_[thread];
}

void Stacks::Map(int threads) {
  const size_t stride = kStackBytes + (guarded_ ? kGuardBytes : 0);
  void* base =
      mmap(nullptr, kGuardBytes + stride * threads, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    std::fprintf(stderr, "simt: no memory for the stacks of a block\n");
    std::abort();
  }
  auto* stack = static_cast<std::byte*>(base);
  mprotect(stack, kGuardBytes, PROT_NONE);
  for (int i = 0; i < threads; ++i, stack += stride) {
    if (guarded_) mprotect(stack, kGuardBytes, PROT_NONE);
    stacks_.push_back(stack + kGuardBytes);
  }
}

}  // namespace simt::emu
