#include "kernels/emu/traffic.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "kernels/emu/banks.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/sectors.h"

namespace simt {
namespace emu {
namespace {

bool counting = false;

// Wide accesses are served to a part of the warp at a time.
void CountBanks(const WarpAccess& access, int bytes) {
  const int lanes_at_once = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  LaunchCounters& counters = TheMachine().counters;
  for (int first = 0; first < 32; first += lanes_at_once) {
    std::array<const void*, 32> wanted;
    int count = 0;
    for (int lane = first; lane < first + lanes_at_once; ++lane)
      if (access.lanes >> lane & 1) wanted[count++] = access.addresses[lane];
    if (count == 0) continue;
    counters.shared_passes += BankPasses(wanted.data(), count, bytes);
    ++counters.shared_minimum;
  }
}

void CountSectors(const WarpAccess& access, int bytes, bool write) {
  std::vector<uintptr_t> sectors;
  for (uint32_t left = access.lanes; left != 0; left &= left - 1) {
    const auto p =
        reinterpret_cast<uintptr_t>(access.addresses[std::countr_zero(left)]);
    for (uintptr_t s = p / kSectorBytes; s <= (p + bytes - 1) / kSectorBytes;
         ++s)
      sectors.push_back(s);
  }
  std::sort(sectors.begin(), sectors.end());
  sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
  for (const uintptr_t sector : sectors) CountSector(sector, write);
}

AccessLog* LogOf(Lane& me) {
  if (!counting) return nullptr;
  auto& log = me.cta->log;
  if (!log) log = std::make_unique<AccessLog>();
  return log.get();
}

}  // namespace

void AccessLog::Count(const Series& series, const WarpAccess& access) {
  if (series.kind == Kind::kShared)
    CountBanks(access, series.bytes);
  else
    CountSectors(access, series.bytes, series.kind == Kind::kWrite);
}

void AccessLog::Add(const Lane& me, uint32_t existing, Kind kind,
                    const void* address, int bytes, uint32_t origin) {
  const uint64_t key = static_cast<uint64_t>(me.warp) << 40 |
                       static_cast<uint64_t>(kind) << 32 | origin;
  Series& series = series_[key];
  series.kind = kind;
  series.bytes = bytes;
  const uint32_t at = series.times[me.lane]++ - series.first;
  while (series.open.size() <= at) series.open.emplace_back();
  series.open[at].lanes |= me.bit();
  series.open[at].addresses[me.lane] = address;
  while (!series.open.empty() && series.open.front().lanes == existing) {
    Count(series, series.open.front());
    series.open.pop_front();
    ++series.first;
  }
}

void AccessLog::Flush() {
  for (const auto& [key, series] : series_)
    for (const WarpAccess& access : series.open) Count(series, access);
  series_.clear();
}

void LogGlobal(const void* address, size_t bytes, bool write,
               const Origin& origin) {
  Lane& me = *CurrentLane();
  if (AccessLog* log = LogOf(me))
    log->Add(me, me.cta->warp_of(me).existing,
             write ? AccessLog::Kind::kWrite : AccessLog::Kind::kRead, address,
             static_cast<int>(bytes), OriginNumber(origin));
}

void LogShared(const void* address, size_t bytes, const Origin& origin) {
  Lane& me = *CurrentLane();
  if (AccessLog* log = LogOf(me))
    log->Add(me, me.cta->warp_of(me).existing, AccessLog::Kind::kShared,
             address, static_cast<int>(bytes), OriginNumber(origin));
}

void FlushLog(Cta& cta) {
  if (cta.log) cta.log->Flush();
}

}  // namespace emu

void count_traffic(bool on) {
  const std::lock_guard lock(emu::TheMachine().mutex);
  emu::counting = on;
}

}  // namespace simt
