#include "kernels/emu/cta.h"

#include <algorithm>
#include <bit>

#include "kernels/emu/checks.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/threads.h"

namespace simt::emu {
namespace {

// With guard pages for all 132 blocks a process would have too many mappings.
constexpr int kGuardedSlots = 16;
constexpr uint64_t kCanary = 0x51A7CA9A125EED00;

thread_local Lane* current_lane = nullptr;

uint64_t& Canary(Lane& lane) {
  return *reinterpret_cast<uint64_t*>(lane.cta->stacks.Get(lane.linear()));
}

[[noreturn]] void LaneMain() {
  Fiber::Entered();
  Lane& me = *CurrentLane();
  for (;;) {
    const LaunchSpec& launch = *TheMachine().launch;
    launch.call(launch.kernel, launch.arguments.get());
    EndThread(me);
  }
}

}  // namespace

Lane* CurrentLane() { return current_lane; }
void SetCurrentLane(Lane* lane) { current_lane = lane; }

const ThreadView& View() { return current_lane->view; }

uint32_t ExistingLanes() {
  return current_lane->cta->warp_of(*current_lane).existing;
}

Cta::Cta(int slot) : slot(slot), stacks(slot < kGuardedSlots) {}

bool Cta::anyone_spins() const {
  return std::any_of(warps.begin(), warps.begin() + num_warps,
                     [](const Warp& warp) { return warp.spinning != 0; });
}

void Cta::Start(const ThreadView& view, int64_t new_index, size_t dynamic_bytes,
                uint32_t new_run) {
  index = new_index;
  run = new_run;
  num_threads =
      static_cast<int>(view.block_dim.x * view.block_dim.y * view.block_dim.z);
  num_warps = (num_threads + kWarpLanes - 1) / kWarpLanes;
  live_warps = num_warps;
  leave = false;
  ready_warps = 0;  // a launch that failed may have left some
  arena.Reset(dynamic_bytes);
  barriers = {};
  clock = {};
  async = {};
  for (int w = 0; w < num_warps; ++w) {
    Warp& warp = warps[w];
    if (!warp.lanes)
      warp.lanes = std::make_unique<std::array<Lane, kWarpLanes>>();
    const int lanes = std::min(kWarpLanes, num_threads - w * kWarpLanes);
    warp.existing = lanes == kWarpLanes ? ~0u : (1u << lanes) - 1;
    warp.waiting = warp.at_barrier = warp.spinning = warp.exited = 0;
    for (int l = 0; l < lanes; ++l) {
      warp.at(l).warp = w;
      warp.at(l).lane = l;
      warp.at(l).view = view;
      StartLane(warp, l);
    }
    warp.ready = 0;
    SetReady(w, warp.existing);
  }
  fresh = std::max(fresh, num_threads);
}

void Cta::StartLane(Warp& warp, int l) {
  Lane& lane = warp.at(l);
  const auto linear = static_cast<unsigned>(lane.linear());
  const dim3& block = lane.view.block_dim;
  lane.view.thread_idx = {linear % block.x, linear / block.x % block.y,
                          linear / block.x / block.y};
  lane.cta = this;
  lane.copies.clear();
  lane.copy_group = 0;
  lane.clock = {};
  // A thread that ended in order waits in LaneMain for its next block.
  if (lane.linear() >= fresh) {
    lane.fiber.Prepare(stacks.Get(lane.linear()), LaneMain);
    Canary(lane) = kCanary;
  }
}

void EndThread(Lane& me) {
  Cta& cta = *me.cta;
  Warp& warp = cta.warp_of(me);
  if (!me.copies.empty())
    Fail(Fault::kCopyNotAwaited, me.copies.front().where,
         "the thread ended before %zu of its asynchronous copies were waited "
         "for",
         me.copies.size());
  if (Canary(me) != kCanary)
    Fail(Fault::kStackOverflow, {},
         "the thread used more than %zu bytes of "
         "stack",
         kStackBytes);
  for (uint32_t left = warp.waiting; left != 0; left &= left - 1) {
    const Lane& other = warp.at(std::countr_zero(left));
    if (other.mask & me.bit())
      Fail(Fault::kExitedLane, other.where,
           "the lane ended while lane %d waits for it in %s", other.lane,
           OpName(other.kind));
  }
  warp.exited |= me.bit();
  ++TheMachine().progress;
  if (warp.exited == warp.existing) WarpEnded(cta);
  GiveWay(me);
}

void GiveWay(Lane& me) {
  Lane* next = me.cta->leave ? nullptr : PickLane(*me.cta, me.warp);
  if (next == &me) return;
  current_lane = next;
  Fiber::Switch(me.fiber, next ? next->fiber : TheMachine().host);
}

void EnterBlock(Cta& cta, Lane& first) {
  cta.leave = false;
  hooks_look = true;  // whoever failed may have left with them off
  current_lane = &first;
  Fiber::Switch(TheMachine().host, first.fiber);
}

void LeaveForGood() {
  Lane& me = *current_lane;
  current_lane = nullptr;
  Fiber::Switch(me.fiber, TheMachine().host);
  __builtin_unreachable();
}

void Yield(Place where) {
  Lane& me = *current_lane;
  me.where = where;
  me.cta->warp_of(me).spinning |= me.bit();
  GiveWay(me);
}

}  // namespace simt::emu
