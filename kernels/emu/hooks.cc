#include <link.h>

#include <cstring>
#include <vector>

#include "kernels/emu/checks.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/traffic.h"

// What a compiler calls before every access of a file compiled with
// -fsanitize=thread. Linked without libtsan, these names are ours to define.
namespace simt::emu {
namespace {

struct Range {
  uintptr_t begin;
  uintptr_t end;
};

// Constants and tables of the executable and its libraries.
const std::vector<Range>& LoadedImages() {
  static const auto& ranges = [] {
    auto* found = new std::vector<Range>;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* out) {
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            const auto& header = info->dlpi_phdr[i];
            if (header.p_type != PT_LOAD) continue;
            const uintptr_t begin = info->dlpi_addr + header.p_vaddr;
            static_cast<std::vector<Range>*>(out)->push_back(
                {begin, begin + header.p_memsz});
          }
          return 0;
        },
        found);
    return static_cast<const std::vector<Range>&>(*found);
  }();
  return ranges;
}

bool InLoadedImage(const void* address) {
  const auto p = reinterpret_cast<uintptr_t>(address);
  for (const Range& range : LoadedImages())
    if (p >= range.begin && p < range.end) return true;
  return false;
}

bool InArguments(const void* address) {
  const LaunchSpec& launch = *TheMachine().launch;
  const auto* p = static_cast<const std::byte*>(address);
  const auto* begin = static_cast<const std::byte*>(launch.arguments.get());
  return p >= begin && p < begin + launch.argument_bytes;
}

void Look(Lane& me, const void* p, size_t bytes, bool write, const void* code) {
  // The thread's own variables: nearly all there are. The Lane holds threadIdx.
  if (me.fiber.Contains(p)) return;
  const auto* byte = static_cast<const std::byte*>(p);
  const auto* lane = reinterpret_cast<const std::byte*>(&me);
  if (byte >= lane && byte < lane + sizeof(Lane)) return;
  const Access access = write ? Access::kWrite : Access::kRead;
  if (me.cta->arena.Contains(p)) {
    LogShared(p, bytes, {{}, code});
    return SharedAccess(me, p, bytes, access, {{}, code});
  }
  if (Allocation* a = FindAllocation(p)) {
    if (!a->Contains(p, bytes)) FailBounds(p, bytes, {{}, code});
    LogGlobal(p, bytes, write, {{}, code});
    return GlobalAccess(me, *a, p, bytes, access, {{}, code});
  }
  if (!write && (InArguments(p) || InLoadedImage(p))) return;
  FailBounds(p, bytes, {{}, code});
}

inline void Hook(const void* p, size_t bytes, bool write, const void* code) {
  Lane* me = CurrentLane();
  if (me != nullptr && hooks_look && bytes > 0)
    Look(*me, p, bytes, write, code);
}

}  // namespace
}  // namespace simt::emu

using simt::emu::Hook;

#define SIMT_CODE __builtin_return_address(0)
#define SIMT_HOOKS(bytes)                                                \
  void __tsan_read##bytes(void* p) { Hook(p, bytes, false, SIMT_CODE); } \
  void __tsan_write##bytes(void* p) { Hook(p, bytes, true, SIMT_CODE); } \
  void __tsan_unaligned_read##bytes(void* p) {                           \
    Hook(p, bytes, false, SIMT_CODE);                                    \
  }                                                                      \
  void __tsan_unaligned_write##bytes(void* p) {                          \
    Hook(p, bytes, true, SIMT_CODE);                                     \
  }                                                                      \
  void __tsan_volatile_read##bytes(void* p) {                            \
    Hook(p, bytes, false, SIMT_CODE);                                    \
  }                                                                      \
  void __tsan_volatile_write##bytes(void* p) {                           \
    Hook(p, bytes, true, SIMT_CODE);                                     \
  }                                                                      \
  void __tsan_unaligned_volatile_read##bytes(void* p) {                  \
    Hook(p, bytes, false, SIMT_CODE);                                    \
  }                                                                      \
  void __tsan_unaligned_volatile_write##bytes(void* p) {                 \
    Hook(p, bytes, true, SIMT_CODE);                                     \
  }                                                                      \
  void __tsan_read_write##bytes(void* p) {                               \
    Hook(p, bytes, false, SIMT_CODE);                                    \
    Hook(p, bytes, true, SIMT_CODE);                                     \
  }                                                                      \
  void __tsan_unaligned_read_write##bytes(void* p) {                     \
    Hook(p, bytes, false, SIMT_CODE);                                    \
    Hook(p, bytes, true, SIMT_CODE);                                     \
  }

// Of the standard library's static-variable guards and reference counts; no
// kernel uses them.
#define SIMT_ATOMICS(bits, T)                                               \
  T __tsan_atomic##bits##_load(const volatile void* p, int) {               \
    return __atomic_load_n(static_cast<const volatile T*>(p),               \
                           __ATOMIC_SEQ_CST);                               \
  }                                                                         \
  void __tsan_atomic##bits##_store(volatile void* p, T v, int) {            \
    __atomic_store_n(static_cast<volatile T*>(p), v, __ATOMIC_SEQ_CST);     \
  }                                                                         \
  T __tsan_atomic##bits##_exchange(volatile void* p, T v, int) {            \
    return __atomic_exchange_n(static_cast<volatile T*>(p), v,              \
                               __ATOMIC_SEQ_CST);                           \
  }                                                                         \
  T __tsan_atomic##bits##_fetch_add(volatile void* p, T v, int) {           \
    return __atomic_fetch_add(static_cast<volatile T*>(p), v,               \
                              __ATOMIC_SEQ_CST);                            \
  }                                                                         \
  T __tsan_atomic##bits##_fetch_sub(volatile void* p, T v, int) {           \
    return __atomic_fetch_sub(static_cast<volatile T*>(p), v,               \
                              __ATOMIC_SEQ_CST);                            \
  }                                                                         \
  T __tsan_atomic##bits##_fetch_and(volatile void* p, T v, int) {           \
    return __atomic_fetch_and(static_cast<volatile T*>(p), v,               \
                              __ATOMIC_SEQ_CST);                            \
  }                                                                         \
  T __tsan_atomic##bits##_fetch_or(volatile void* p, T v, int) {            \
    return __atomic_fetch_or(static_cast<volatile T*>(p), v,                \
                             __ATOMIC_SEQ_CST);                             \
  }                                                                         \
  T __tsan_atomic##bits##_fetch_xor(volatile void* p, T v, int) {           \
    return __atomic_fetch_xor(static_cast<volatile T*>(p), v,               \
                              __ATOMIC_SEQ_CST);                            \
  }                                                                         \
  bool __tsan_atomic##bits##_compare_exchange_strong(                       \
      volatile void* p, void* expected, T v, int, int) {                    \
    return __atomic_compare_exchange_n(static_cast<volatile T*>(p),         \
                                       static_cast<T*>(expected), v, false, \
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                         \
  bool __tsan_atomic##bits##_compare_exchange_weak(                         \
      volatile void* p, void* expected, T v, int, int) {                    \
    return __tsan_atomic##bits##_compare_exchange_strong(p, expected, v, 0, \
                                                         0);                \
  }

#if defined(__GNUC__) && !defined(__clang__)
// The compiler knows these names with types of its own.
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
#endif

extern "C" {

void __tsan_init() { simt::emu::checking = true; }

SIMT_HOOKS(1)
SIMT_HOOKS(2)
SIMT_HOOKS(4)
SIMT_HOOKS(8)
SIMT_HOOKS(16)

void __tsan_read_range(void* p, size_t bytes) {
  Hook(p, bytes, false, SIMT_CODE);
}
void __tsan_write_range(void* p, size_t bytes) {
  Hook(p, bytes, true, SIMT_CODE);
}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit(void*) {}
void __tsan_ignore_thread_begin() {}
void __tsan_ignore_thread_end() {}

void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
  Hook(from, bytes, false, SIMT_CODE);
  Hook(to, bytes, true, SIMT_CODE);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, size_t bytes) {
  Hook(from, bytes, false, SIMT_CODE);
  Hook(to, bytes, true, SIMT_CODE);
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, size_t bytes) {
  Hook(to, bytes, true, SIMT_CODE);
  return std::memset(to, value, bytes);
}

SIMT_ATOMICS(8, uint8_t)
SIMT_ATOMICS(16, uint16_t)
SIMT_ATOMICS(32, uint32_t)
SIMT_ATOMICS(64, uint64_t)
void __tsan_atomic_thread_fence(int) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
void __tsan_atomic_signal_fence(int) {}

}  // extern "C"
