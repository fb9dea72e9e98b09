#include "kernels/emu/fiber.h"

#include <pthread.h>

#include <cstdint>

#ifdef SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifdef SIMT_OWN_SWITCH
// simt_switch_stack(void** save, void* load). It ends with `ret`: in real
// kernels a quarter faster than an indirect jump.
asm(R"(
  .text
  .p2align 4
  .globl simt_switch_stack
  .type simt_switch_stack, @function
simt_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size simt_switch_stack, .-simt_switch_stack
)");
extern "C" void simt_switch_stack(void** save, void* load);
#endif

namespace simt::emu {

void Fiber::Prepare(std::byte* stack, void (*entry)()) {
  stack_ = stack;
  bytes_ = kStackBytes;
  fake_stack_ = nullptr;
#ifdef SIMT_ASAN
  __asan_unpoison_memory_region(stack, kStackBytes);
#endif
#ifdef SIMT_OWN_SWITCH
  // From the top: a null return address, `entry`, six registers. A function
  // expects its stack pointer to be 8 modulo 16.
  auto** top = reinterpret_cast<void**>(stack + kStackBytes);
  for (int i = 1; i <= 8; ++i) top[-i] = nullptr;
  top[-2] = reinterpret_cast<void*>(entry);
  stack_pointer_ = top - 8;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#endif
}

void Fiber::Switch(Fiber& from, Fiber& to) {
#ifdef SIMT_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.stack_, to.bytes_);
#endif
#ifdef SIMT_OWN_SWITCH
  simt_switch_stack(&from.stack_pointer_, to.stack_pointer_);
#else
  swapcontext(&from.context_, &to.context_);
#endif
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::Entered() {
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

void Fiber::AdoptCurrentStack() {
  // Asked for once a thread: it reads /proc.
  thread_local void* bottom = nullptr;
  thread_local size_t bytes = 0;
  if (bottom == nullptr) {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    pthread_attr_getstack(&attributes, &bottom, &bytes);
    pthread_attr_destroy(&attributes);
  }
  stack_ = static_cast<const std::byte*>(bottom);
  bytes_ = bytes;
}

}  // namespace simt::emu
