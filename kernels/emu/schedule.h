#pragma once

#include <cstdint>
#include <string>

namespace simt {

// Who runs next. Greedy on purpose: with a fair order the warps advance in
// step, and a missing barrier between them stays invisible.
enum class Order {
  kForward,  // one warp as far as it can, the lowest first; blocks likewise
  kReverse,  // the highest first
  kRandom,   // mostly stays with a warp; lanes, warps and blocks in any order
};

struct Schedule {
  Order order = Order::kForward;
  uint64_t seed = 0;  // of kRandom
};

// SIMT_SCHEDULE=forward|reverse|random:SEED, else forward.
Schedule schedule_from_environment();
// Of all launches from now on; at first the environment's.
void set_schedule(Schedule schedule);
Schedule current_schedule();
// As the environment spells it.
std::string to_string(Schedule schedule);

}  // namespace simt
