#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace simt::emu {

struct BufferShadow;
struct SectorCounts;

// One device_malloc.
struct Allocation {
  std::byte* begin = nullptr;
  size_t bytes = 0;
  std::shared_ptr<BufferShadow> shadow;  // of the check build, made when needed
  // Of count_traffic, one bit per sector, and the sums.
  std::shared_ptr<SectorCounts> sectors;

  bool Contains(const void* address, size_t n) const {
    const auto* p = static_cast<const std::byte*>(address);
    return p >= begin && n <= bytes &&
           static_cast<size_t>(p - begin) <= bytes - n;
  }
};

// Whose bytes, or whose guard around them, `address` lies in; null if none.
Allocation* FindAllocation(const void* address);
void ForEachAllocation(void (*visit)(Allocation&));

}  // namespace simt::emu
