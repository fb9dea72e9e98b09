#include "kernels/emu/counters.h"

#include <mutex>
#include <utility>

#include "kernels/emu/machine.h"
#include "kernels/emu/sectors.h"

namespace simt {

LaunchCounters take_counters() {
  emu::Machine& machine = emu::TheMachine();
  const std::lock_guard lock(machine.mutex);
  LaunchCounters counters = std::exchange(machine.counters, {});
  counters.traffic = emu::TakeTraffic();
  return counters;
}

}  // namespace simt
