#pragma once

#include <vector_types.h>

#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kernels/emu/place.h"
#include "kernels/emu/stream.h"

namespace simt {
namespace emu {

// A launch as it was asked for.
struct LaunchSpec {
  const void* kernel = nullptr;
  dim3 grid;
  dim3 block;
  size_t dynamic_shared_bytes = 0;
  std::shared_ptr<const void> arguments;  // by value, of the kernel's types
  size_t argument_bytes = 0;
  void (*call)(const void* kernel, const void* arguments) = nullptr;
};

// Checks what the driver would check.
void Enqueue(LaunchSpec spec, Stream stream);

bool AllowDynamicShared(const void* kernel, size_t bytes);

template <typename... P>
void Call(const void* kernel, const void* arguments) {
  const auto function =
      reinterpret_cast<void (*)(P...)>(const_cast<void*>(kernel));
  std::apply(function, *static_cast<const std::tuple<P...>*>(arguments));
}

template <typename... P>
void LaunchWith(void (*kernel)(P...), dim3 grid, dim3 block,
                size_t dynamic_shared_bytes, Stream stream, P... arguments) {
  static_assert((std::is_trivially_copyable_v<P> && ...));
  using Arguments = std::tuple<P...>;
  Enqueue(
      {reinterpret_cast<const void*>(kernel), grid, block, dynamic_shared_bytes,
       std::make_shared<const Arguments>(arguments...), sizeof(Arguments),
       &Call<P...>},
      stream);
}

}  // namespace emu

// kernel<<<grid, block, dynamic_shared_bytes, stream>>>(arguments...), which
// are converted to the parameters' types and copied now. What the driver would
// refuse is in last_error() afterwards.
template <typename... P, typename... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block,
            size_t dynamic_shared_bytes, Stream stream, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "another number of parameters");
  emu::LaunchWith<P...>(kernel, grid, block, dynamic_shared_bytes, stream,
                        std::forward<A>(arguments)...);
}

// Before a kernel's first launch with more than 48 KiB; 227 KiB at most. False
// if that is too much.
template <typename... P>
bool allow_dynamic_shared(void (*kernel)(P...), size_t bytes) {
  return emu::AllowDynamicShared(reinterpret_cast<const void*>(kernel), bytes);
}

}  // namespace simt
