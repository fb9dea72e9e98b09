#include <array>
#include <bit>
#include <cstring>

#include "kernels/emu/checks.h"
#include "kernels/emu/cta.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/threads.h"

namespace simt::emu {
namespace {

bool SameLine(Place a, Place b) {
  return a.line == b.line &&
         (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

bool SameOperation(const Lane& a, const Lane& b) {
  return a.mask == b.mask && a.kind == b.kind && a.fn == b.fn &&
         SameLine(a.where, b.where);
}

[[noreturn]] void FailDivergent(const Lane& me, const Lane& other) {
  Fail(Fault::kDivergence, me.where,
       "%s of lanes %08x meets lane %d in %s of lanes %08x at %s:%d",
       OpName(me.kind), me.mask, other.lane, OpName(other.kind), other.mask,
       other.where.file, other.where.line);
}

// Whether all of the caller's mask have come to the same operation. Who waits
// for the caller in another one waits for ever; who is in one that does not
// need the caller may still come.
bool AllHere(Warp& warp, const Lane& me) {
  const uint32_t others = me.mask & ~me.bit();
  bool all = (warp.waiting & others) == others;
  for (uint32_t left = others & warp.waiting; left != 0; left &= left - 1) {
    const Lane& other = warp.at(std::countr_zero(left));
    if (SameOperation(me, other)) {
      if (!all) return false;  // the others have been compared with that one
      continue;
    }
    if (other.mask & me.bit()) FailDivergent(me, other);
    all = false;
  }
  return all;
}

void Complete(Cta& cta, Warp& warp, Lane& me) {
  std::array<void*, kWarpLanes> arguments;
  for (uint32_t left = me.mask; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    arguments[lane] = warp.at(lane).arguments;
  }
  {
    // Its body is a kernel's code to the compiler, and reads other lanes'
    // stacks on purpose.
    const HooksOff off;
    me.fn(me.mask, arguments.data());
  }
  if (me.kind == OpKind::kSyncWarp) SyncWarpClocks(warp, me.mask);
  ++TheMachine().counters.warp_collectives;
  warp.waiting &= ~me.mask;
  cta.SetReady(me.warp, me.mask);
}

}  // namespace

const char* OpName(OpKind kind) {
  static constexpr const char* kNames[] = {
      "a shuffle", "a vote",     "a reduction",
      "a match",   "__syncwarp", "a block barrier",
      "ldmatrix",  "stmatrix",   "a tensor-core operation",
      "wgmma"};
  return kNames[static_cast<int>(kind)];
}

bool Deposit(Lane& me, uint32_t mask, OpKind kind, LaneFn fn, void* mine,
             Place where) {
  Warp& warp = me.cta->warp_of(me);
  me.kind = kind;
  me.mask = mask & warp.existing;
  me.fn = fn;
  me.arguments = mine;
  me.where = where;
  if (!(mask & me.bit()))
    Fail(Fault::kMaskWithoutSelf, where,
         "lane %d calls %s with the mask %08x, which it is not in", me.lane,
         OpName(kind), mask);
  if (const uint32_t gone = me.mask & warp.exited; gone != 0)
    Fail(Fault::kExitedLane, where,
         "%s of lanes %08x, of which %08x have ended", OpName(kind), me.mask,
         gone);
  const bool all = AllHere(warp, me);
  warp.waiting |= me.bit();
  return all;
}

void Rendezvous(uint32_t mask, OpKind kind, LaneFn fn, void* mine,
                Place where) {
  Lane& me = *CurrentLane();
  if (Deposit(me, mask, kind, fn, mine, where))
    Complete(*me.cta, me.cta->warp_of(me), me);
  GiveWay(me);
}

}  // namespace simt::emu
