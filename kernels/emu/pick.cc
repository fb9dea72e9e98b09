#include <bit>
#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/emu/cta.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/schedule.h"

namespace simt {
namespace emu {
namespace {

constexpr uint32_t kChangeWarp = 8;   // random: one switch in
constexpr uint32_t kPreempt = 4;      // random: one atomic in
constexpr uint32_t kChangeBlock = 8;  // random: one of those in

int Lowest(uint32_t mask) { return std::countr_zero(mask); }
int Highest(uint32_t mask) { return 31 - std::countl_zero(mask); }

int AnyOf(uint32_t mask, Random& random) {
  const int turn = static_cast<int>(random.Below(32));
  return (std::countr_zero(std::rotr(mask, turn)) + turn) & 31;
}

int PickBit(uint32_t mask, Machine& machine) {
  switch (machine.schedule.order) {
    case Order::kForward:
      return Lowest(mask);
    case Order::kReverse:
      return Highest(mask);
    case Order::kRandom:
      break;
  }
  return AnyOf(mask, machine.random);
}

}  // namespace

Lane* PickLane(Cta& cta, int warp) {
  if (cta.ready_warps == 0) return nullptr;
  Machine& machine = TheMachine();
  const bool change = machine.schedule.order == Order::kRandom &&
                      machine.random.OneIn(kChangeWarp);
  if (change || !(cta.ready_warps >> warp & 1))
    warp = PickBit(cta.ready_warps, machine);
  uint32_t& ready = cta.warps[warp].ready;
  Lane& lane = cta.warps[warp].at(PickBit(ready, machine));
  ready &= ~lane.bit();
  if (ready == 0) cta.ready_warps &= ~(1u << warp);
  return &lane;
}

void MaybePreempt(Lane& me) {
  Machine& machine = TheMachine();
  if (machine.schedule.order != Order::kRandom ||
      !machine.random.OneIn(kPreempt))
    return;
  me.cta->SetReady(me.warp, me.bit());
  me.cta->leave = machine.random.OneIn(kChangeBlock);
  GiveWay(me);
}

}  // namespace emu

Schedule schedule_from_environment() {
  const char* text = std::getenv("SIMT_SCHEDULE");
  if (text == nullptr) return {};
  if (std::strcmp(text, "reverse") == 0) return {Order::kReverse, 0};
  if (std::strncmp(text, "random", 6) == 0)
    return {Order::kRandom,
            text[6] == ':' ? std::strtoull(text + 7, nullptr, 10) : 1};
  return {};
}

void set_schedule(Schedule schedule) {
  emu::Machine& machine = emu::TheMachine();
  const std::lock_guard lock(machine.mutex);
  machine.schedule = schedule;
}

Schedule current_schedule() {
  emu::Machine& machine = emu::TheMachine();
  const std::lock_guard lock(machine.mutex);
  return machine.schedule;
}

std::string to_string(Schedule schedule) {
  switch (schedule.order) {
    case Order::kForward:
      return "forward";
    case Order::kReverse:
      return "reverse";
    case Order::kRandom:
      break;
  }
  return "random:" + std::to_string(schedule.seed);
}

}  // namespace simt
