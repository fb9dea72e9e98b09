#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "kernels/emu/counters.h"
#include "kernels/emu/cta.h"
#include "kernels/emu/launch.h"
#include "kernels/emu/random.h"
#include "kernels/emu/report.h"
#include "kernels/emu/schedule.h"

// The emulated device as a whole. Inside the engine only.
namespace simt::emu {

struct Machine {
  // Held through every call of the host side, hence through every launch.
  std::recursive_mutex mutex;

  Schedule schedule = schedule_from_environment();
  Random random;
  int max_resident = 132;
  std::set<Fault> tolerated;  // of the next launch

  std::vector<std::unique_ptr<Cta>> slots;  // of resident blocks; kept
  Fiber host;                               // the loop that runs blocks
  const LaunchSpec* launch = nullptr;
  int launch_number = 0;
  uint32_t run = 0;  // of a block; tells two blocks of one slot apart
  uint64_t progress =
      0;                // grows whenever something other than spinning happens
  bool failed = false;  // the launch is given up

  Report report;
  LaunchCounters counters;
};

Machine& TheMachine();

// Runs all blocks, or until one fails. Leaves every fiber behind in a state
// that the next launch can start from.
void RunLaunch(const LaunchSpec& spec);

}  // namespace simt::emu
