#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/emu/counters.h"

namespace simt::emu {

inline constexpr size_t kSectorBytes = 32;

// Of one device buffer: sums since take_counters(), and which sectors this
// launch has touched.
struct SectorCounts {
  BufferTraffic traffic;
  int launch = -1;
  std::vector<bool> read;
  std::vector<bool> written;
};

// `sector` is an address divided by kSectorBytes.
void CountSector(uintptr_t sector, bool write);

// What all buffers have counted; they begin anew.
std::vector<BufferTraffic> TakeTraffic();

}  // namespace simt::emu
