#include <algorithm>
#include <bit>

#include "kernels/emu/checks.h"
#include "kernels/emu/hopper.h"
#include "kernels/emu/machine.h"

// Barriers in the order of happens-before.
namespace simt::emu {
namespace {

void Merge(const ClockVector& from, ClockVector& to) {
  for (size_t i = 0; i < to.size(); ++i) to[i] = std::max(to[i], from[i]);
}

}  // namespace

void ReleaseClocks(Warp& warp, uint32_t lanes, MergedClock& clock) {
  if (!checking) return;
  const ClockVector* merged = nullptr;
  for (uint32_t left = lanes; left != 0; left &= left - 1) {
    Lane& lane = warp.at(std::countr_zero(left));
    if (!clock.heard)
      clock.heard = std::make_shared<ClockVector>(lane.cta->num_threads);
    // Mostly all lanes share one vector.
    if (lane.clock.heard && lane.clock.heard.get() != merged) {
      merged = lane.clock.heard.get();
      Merge(*merged, *clock.heard);
    }
    (*clock.heard)[lane.linear()] = lane.clock.now++;
  }
}

void AcquireClocks(Warp& warp, const MergedClock& clock) {
  if (!checking) return;
  for (uint32_t left = warp.at_barrier; left != 0; left &= left - 1)
    warp.at(std::countr_zero(left)).clock.heard = clock.heard;
}

void ReleaseLane(Lane& me, MergedClock& clock) {
  if (!checking) return;
  auto merged = clock.heard
                    ? std::make_shared<ClockVector>(*clock.heard)
                    : std::make_shared<ClockVector>(me.cta->num_threads);
  if (me.clock.heard) Merge(*me.clock.heard, *merged);
  (*merged)[me.linear()] = me.clock.now++;
  clock.heard = std::move(merged);
}

void AcquireLane(Lane& me, const MergedClock& clock) {
  if (!checking || !clock.heard) return;
  auto merged = std::make_shared<ClockVector>(*clock.heard);
  if (me.clock.heard) Merge(*me.clock.heard, *merged);
  me.clock.heard = std::move(merged);
}

void FenceProxyAsync() {
  LaneClock& clock = CurrentLane()->clock;
  clock.proxy_fenced = clock.now++;
}

void SyncWarpClocks(Warp& warp, uint32_t lanes) {
  if (!checking) return;
  MergedClock clock;
  ReleaseClocks(warp, lanes, clock);
  for (uint32_t left = lanes; left != 0; left &= left - 1)
    warp.at(std::countr_zero(left)).clock.heard = clock.heard;
}

}  // namespace simt::emu
