#include "kernels/emu/sectors.h"

#include "kernels/emu/buffers.h"
#include "kernels/emu/machine.h"

namespace simt::emu {
namespace {

SectorCounts& CountsOf(Allocation& a) {
  if (!a.sectors) a.sectors = std::make_shared<SectorCounts>();
  SectorCounts& counts = *a.sectors;
  const int launch = TheMachine().launch_number;
  if (counts.launch != launch) {
    const size_t sectors = (a.bytes + kSectorBytes - 1) / kSectorBytes + 1;
    counts.launch = launch;
    counts.read.assign(sectors, false);
    counts.written.assign(sectors, false);
  }
  return counts;
}

}  // namespace

void CountSector(uintptr_t sector, bool write) {
  Allocation* a =
      FindAllocation(reinterpret_cast<const void*>(sector * kSectorBytes));
  if (a == nullptr) return;
  SectorCounts& counts = CountsOf(*a);
  const size_t index =
      sector - reinterpret_cast<uintptr_t>(a->begin) / kSectorBytes;
  auto& touched = write ? counts.written : counts.read;
  if (index >= touched.size()) return;
  BufferTraffic& t = counts.traffic;
  ++(write ? t.sectors_written : t.sectors_read);
  if (!touched[index]) ++(write ? t.distinct_written : t.distinct_read);
  touched[index] = true;
}

std::vector<BufferTraffic> TakeTraffic() {
  static std::vector<BufferTraffic> taken;
  taken.clear();
  ForEachAllocation([](Allocation& a) {
    if (!a.sectors) return;
    taken.push_back(a.sectors->traffic);
    taken.back().buffer = a.begin;
    a.sectors = nullptr;
  });
  return taken;
}

}  // namespace simt::emu
