#include "kernels/emu/atomic.h"

#include <algorithm>
#include <type_traits>

#include "kernels/emu/access.h"
#include "kernels/emu/checks.h"
#include "kernels/emu/cta.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/instructions.h"
#include "kernels/emu/machine.h"

// Atomics. One thread runs at a time, so each is its plain operation; the
// random schedule may stop a thread before one.
namespace simt::emu {
namespace {

// The sum wraps, also of signed integers.
template <typename T>
T Sum(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
  } else {
    return a + b;
  }
}

template <typename T>
T Apply(AtomicOp op, T old, T value) {
  switch (op) {
    case AtomicOp::kAdd:
      return Sum(old, value);
    case AtomicOp::kExchange:
      return value;
    default:
      break;
  }
  if constexpr (std::is_integral_v<T>) {
    switch (op) {
      case AtomicOp::kAnd:
        return old & value;
      case AtomicOp::kOr:
        return old | value;
      case AtomicOp::kXor:
        return old ^ value;
      case AtomicOp::kMin:
        return std::min(old, value);
      case AtomicOp::kMax:
        return std::max(old, value);
      default:
        break;
    }
  }
  return old;
}

void Begin(const void* address, size_t bytes, Place where,
           Access access = Access::kAtomic) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0)
    Fail(Fault::kMisaligned, where, "an atomic of %zu bytes at %p", bytes,
         address);
  MaybePreempt(*CurrentLane());
  Touch(address, bytes, access, {where});
}

// Only a change lets others go on: a lock that is asked for is no progress.
template <typename T>
void Store(T* address, T value) {
  if (*address != value) ++TheMachine().progress;
  *address = value;
}

}  // namespace

template <typename T>
T Atomic(AtomicOp op, T* address, T value, Place where) {
  Begin(address, sizeof(T), where);
  SyncWord(*CurrentLane(), address, Sync::kFenced);
  const T old = *address;
  Store(address, Apply(op, old, value));
  return old;
}

template <typename T>
T AtomicCas(T* address, T expected, T desired, Place where) {
  Begin(address, sizeof(T), where);
  SyncWord(*CurrentLane(), address, Sync::kFenced);
  const T old = *address;
  if (old == expected) Store(address, desired);
  return old;
}

#define SIMT_INSTANTIATE(T)                     \
  template T Atomic<T>(AtomicOp, T*, T, Place); \
  template T AtomicCas<T>(T*, T, T, Place);
SIMT_INSTANTIATE(int)
SIMT_INSTANTIATE(unsigned)
SIMT_INSTANTIATE(unsigned long long)
SIMT_INSTANTIATE(float)
#undef SIMT_INSTANTIATE

uint32_t LoadAcquire(const uint32_t* word, Place where) {
  Begin(word, sizeof(*word), where, Access::kAtomicRead);
  SyncWord(*CurrentLane(), word, Sync::kAcquire);
  return *word;
}

void StoreRelease(uint32_t* word, uint32_t value, Place where) {
  Begin(word, sizeof(*word), where);
  SyncWord(*CurrentLane(), word, Sync::kRelease);
  Store(word, value);
}

uint32_t AddRelease(uint32_t* word, uint32_t value, Place where) {
  Begin(word, sizeof(*word), where);
  SyncWord(*CurrentLane(), word, Sync::kRelease);
  const uint32_t old = *word;
  Store(word, old + value);
  return old;
}

}  // namespace simt::emu
