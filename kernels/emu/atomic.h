#pragma once

#include <type_traits>

#include "kernels/emu/place.h"

// atomicAdd and the like, on shared and global memory. Relaxed, as in CUDA: a
// __threadfence before and after orders what is around them.
namespace simt::emu {

enum class AtomicOp { kAdd, kAnd, kOr, kXor, kMin, kMax, kExchange };

// For int, unsigned, unsigned long long; float with kAdd and kExchange.
template <typename T>
T Atomic(AtomicOp op, T* address, T value, Place where);
template <typename T>
T AtomicCas(T* address, T expected, T desired, Place where);

}  // namespace simt::emu

#define SIMT_ATOMIC(name, op)                                            \
  template <typename T>                                                  \
  T name(T* address, std::type_identity_t<T> value,                      \
         simt::Place where = simt::Place::Here()) {                      \
    return simt::emu::Atomic<T>(simt::emu::AtomicOp::op, address, value, \
                                where);                                  \
  }
SIMT_ATOMIC(atomicAdd, kAdd)
SIMT_ATOMIC(atomicAnd, kAnd)
SIMT_ATOMIC(atomicOr, kOr)
SIMT_ATOMIC(atomicXor, kXor)
SIMT_ATOMIC(atomicMin, kMin)
SIMT_ATOMIC(atomicMax, kMax)
SIMT_ATOMIC(atomicExch, kExchange)
#undef SIMT_ATOMIC

template <typename T>
T atomicSub(T* address, std::type_identity_t<T> value,
            simt::Place where = simt::Place::Here()) {
  static_assert(std::is_integral_v<T>);
  return simt::emu::Atomic<T>(simt::emu::AtomicOp::kAdd, address,
                              static_cast<T>(T{0} - value), where);
}

template <typename T>
T atomicCAS(T* address, std::type_identity_t<T> expected,
            std::type_identity_t<T> desired,
            simt::Place where = simt::Place::Here()) {
  return simt::emu::AtomicCas<T>(address, expected, desired, where);
}
