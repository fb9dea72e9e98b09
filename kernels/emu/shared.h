#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels/emu/thread.h"

// A static object is found by the address of a tag that is unique per
// declaration and template instance, so that all threads of a block get the
// same one. The arena is filled with 0xFF when a block starts.
#define SIMT_SHARED(T, name, ...)                               \
  auto& name = *static_cast<std::add_pointer_t<T __VA_ARGS__>>( \
      ::simt::emu::StaticShared(                                \
          sizeof(T __VA_ARGS__), alignof(T),                    \
          []() -> const void* {                                 \
            static char tag;                                    \
            return &tag;                                        \
          }(),                                                  \
          ::simt::Place::Here()))

#define SIMT_DYNAMIC_SHARED(name) \
  unsigned char* const name =     \
      static_cast<unsigned char*>(::simt::emu::DynamicShared())

namespace simt {

inline constexpr size_t kRedzone = 64;

inline void carve(const void* begin, size_t bytes,
                  Place where = Place::Here()) {
  emu::Carve(begin, bytes, where);
}

inline void yield(Place where = Place::Here()) { emu::Yield(where); }

}  // namespace simt
