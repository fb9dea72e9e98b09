#pragma once

#include "kernels/emu/place.h"

namespace simt::emu {

// A load through the read-only path: what it reads must not be written in the
// same launch. Copies `bytes` to `to`.
void LoadReadOnly(void* to, const void* from, int bytes, Place where);

}  // namespace simt::emu

template <typename T>
T __ldg(const T* address, simt::Place where = simt::Place::Here()) {
  T value;
  simt::emu::LoadReadOnly(&value, address, sizeof(T), where);
  return value;
}
