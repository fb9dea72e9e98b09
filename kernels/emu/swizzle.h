#pragma once

#include <cstddef>

namespace simt::emu {

// The 128-byte swizzle: within 1024 bytes, the row's number in units of 128 is
// added, without carry, to the unit of 16.
inline size_t Swizzle128(size_t offset) {
  return offset ^ (offset >> 3 & 0x70);
}

}  // namespace simt::emu
