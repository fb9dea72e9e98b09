#pragma once

#include <cstddef>

// Our own switch where there is one; SIMT_UCONTEXT: to try the other.
#if defined(__x86_64__) && !defined(SIMT_UCONTEXT)
#define SIMT_OWN_SWITCH 1
#else
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif

namespace simt::emu {

#ifdef SIMT_ASAN
inline constexpr size_t kStackBytes = 256 << 10;
#else
inline constexpr size_t kStackBytes = 64 << 10;
#endif

// A point of execution that can be left and come back to: six registers on a
// stack of its own. The default one stands for the OS thread's own stack.
class Fiber {
 public:
  // Forgets whatever ran here and begins with `entry`, which never returns, at
  // the next switch. `stack` is kStackBytes long and outlives the fiber.
  void Prepare(std::byte* stack, void (*entry)());

  // Leaves `from`, which must be running, and goes on where `to` was left.
  static void Switch(Fiber& from, Fiber& to);

  // Before anything else in `entry`.
  static void Entered();

  // Takes the bounds of the stack that runs now, for the OS thread's fiber.
  void AdoptCurrentStack();

  bool Contains(const void* address) const {
    const auto* p = static_cast<const std::byte*>(address);
    return p >= stack_ && p < stack_ + bytes_;
  }

 private:
#ifdef SIMT_OWN_SWITCH
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_;
#endif
  const std::byte* stack_ = nullptr;
  size_t bytes_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
};

}  // namespace simt::emu
