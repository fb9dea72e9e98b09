#include <bit>

#include "kernels/emu/checks.h"
#include "kernels/emu/cta.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/machine.h"

namespace simt::emu {
namespace {

BarrierCall& CallOf(Lane& lane) {
  return *static_cast<BarrierCall*>(lane.arguments);
}

void CheckCall(const BarrierCall& call, Place where) {
  if (call.id < 0 || call.id >= kNumBarriers)
    Fail(Fault::kBarrierCount, where, "barrier %d: there are 0 to %d", call.id,
         kNumBarriers - 1);
  if (call.count < 0 || call.count > 1024 || call.count % kWarpLanes != 0 ||
      (call.count == 0 && call.id != 0))
    Fail(Fault::kBarrierCount, where,
         "barrier %d of %d threads: only whole warps, at most 1024", call.id,
         call.count);
}

void Release(Cta& cta, Barrier& barrier) {
  for (uint32_t left = barrier.waiting; left != 0; left &= left - 1) {
    const int w = std::countr_zero(left);
    Warp& warp = cta.warps[w];
    for (uint32_t lanes = warp.at_barrier; lanes != 0; lanes &= lanes - 1) {
      BarrierCall& call = CallOf(warp.at(std::countr_zero(lanes)));
      call.num_true = barrier.num_true;
      call.num_threads = barrier.num_threads;
    }
    AcquireClocks(warp, barrier.clock);
    cta.SetReady(w, warp.at_barrier);
    warp.at_barrier = 0;
  }
  barrier = {};
  ++TheMachine().counters.block_barriers;
}

void ReleaseIfComplete(Cta& cta, Barrier& barrier) {
  const int needed =
      barrier.count == 0 ? cta.live_warps : barrier.count / kWarpLanes;
  if (barrier.arrived >= needed) Release(cta, barrier);
}

// All lanes of the caller's warp have come.
void ArriveWarp(Cta& cta, Warp& warp, Lane& me) {
  const BarrierCall& call = CallOf(me);
  Barrier& barrier = cta.barriers[call.id];
  for (uint32_t left = me.mask; left != 0; left &= left - 1) {
    const BarrierCall& other = CallOf(warp.at(std::countr_zero(left)));
    if (other.id != call.id || other.count != call.count ||
        other.wait != call.wait)
      Fail(Fault::kDivergence, me.where,
           "lanes of one warp at barriers %d and %d, of %d and %d threads",
           call.id, other.id, call.count, other.count);
    barrier.num_true += other.predicate != 0;
    ++barrier.num_threads;
  }
  if (barrier.count >= 0 && barrier.count != call.count)
    Fail(Fault::kBarrierCount, me.where,
         "barrier %d with %d threads, others came to it with %d (0: all)",
         call.id, call.count, barrier.count);
  barrier.count = call.count;
  ++barrier.arrived;
  ReleaseClocks(warp, me.mask, barrier.clock);
  warp.waiting &= ~me.mask;
  if (call.wait) {
    barrier.waiting |= 1u << me.warp;
    warp.at_barrier = me.mask;
  } else {
    cta.SetReady(me.warp, me.mask);
  }
  ReleaseIfComplete(cta, barrier);
}

}  // namespace

void BlockBarrier(BarrierCall& call, Place where) {
  Lane& me = *CurrentLane();
  Cta& cta = *me.cta;
  Warp& warp = cta.warp_of(me);
  CheckCall(call, where);
  if (Deposit(me, warp.existing, OpKind::kBarrier, nullptr, &call, where))
    ArriveWarp(cta, warp, me);
  GiveWay(me);
}

void WarpEnded(Cta& cta) {
  --cta.live_warps;
  Barrier& barrier = cta.barriers[0];
  if (barrier.count == 0 && barrier.arrived > 0)
    ReleaseIfComplete(cta, barrier);
}

}  // namespace simt::emu
