#include "kernels/emu/access.h"
#include "kernels/emu/checks.h"
#include "kernels/emu/cta.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/hopper.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/mbarriers.h"

// Barriers in shared memory. Their state is kept here, by address; the word
// itself only shows who touches it.
namespace simt::emu {
namespace {

void TouchWord(const void* barrier, Access access, Place where) {
  TouchShared(barrier, sizeof(uint64_t), access, where);
}

void CompleteIfDone(Mbarrier& barrier) {
  if (barrier.pending != 0 || barrier.bytes != 0) return;
  barrier.parity ^= 1;
  barrier.pending = barrier.count;
  barrier.passed = barrier.arriving;  // what came before is in it, too
  if (barrier.passed.heard)
    barrier.arriving.heard =
        std::make_shared<ClockVector>(*barrier.passed.heard);
  ++TheMachine().progress;
}

void Deliver(Mbarrier& barrier) {
  for (const BulkPending& copy : barrier.copies) {
    copy.deliver();
    barrier.bytes -= copy.bytes;
  }
  const bool any = !barrier.copies.empty();
  barrier.copies.clear();
  if (any) CompleteIfDone(barrier);
}

}  // namespace

Mbarrier& FindMbarrier(uint64_t* barrier, Place where) {
  auto& all = CurrentLane()->cta->async.mbarriers;
  const auto it = all.find(barrier);
  if (it == all.end())
    Fail(Fault::kMbarrier, where, "an mbarrier that is not initialised");
  TouchWord(barrier, Access::kAtomic, where);
  return it->second;
}

void MbarrierInit(uint64_t* barrier, uint32_t count, Place where) {
  if (count == 0 || count > (1 << 20) - 1)
    Fail(Fault::kMbarrier, where, "an mbarrier of %u arrivals", count);
  TouchWord(barrier, Access::kWrite, where);
  Mbarrier fresh;
  fresh.count = fresh.pending = count;
  CurrentLane()->cta->async.mbarriers[barrier] = fresh;
}

void MbarrierArrive(uint64_t* word, uint32_t arrivals, uint32_t bytes,
                    Place where) {
  Mbarrier& barrier = FindMbarrier(word, where);
  if (arrivals > barrier.pending)
    Fail(Fault::kMbarrier, where,
         "more arrivals in one phase than the mbarrier's %u", barrier.count);
  ReleaseLane(*CurrentLane(), barrier.arriving);
  barrier.pending -= arrivals;
  barrier.bytes += bytes;
  // Without an arrival a phase does not end here: its bytes are only expected.
  if (arrivals > 0) CompleteIfDone(barrier);
}

bool MbarrierTryWait(uint64_t* word, uint32_t parity, Place where) {
  MaybePreempt(*CurrentLane());
  Mbarrier& barrier = FindMbarrier(word, where);
  if (barrier.parity == (parity & 1)) Deliver(barrier);
  if (barrier.parity == (parity & 1)) return false;
  AcquireLane(*CurrentLane(), barrier.passed);
  return true;
}

void CheckAsyncDone(Cta& cta) {
  for (const auto& [word, barrier] : cta.async.mbarriers)
    if (!barrier.copies.empty())
      RecordLaunchError(Fault::kCopyNotAwaited,
                        "block " + std::to_string(cta.index) +
                            " ended before a bulk copy was waited for, at " +
                            barrier.copies[0].where.file + ":" +
                            std::to_string(barrier.copies[0].where.line));
  for (const auto& [warp, queue] : cta.async.wgmma) {
    if (!queue.pending.empty())
      RecordLaunchError(Fault::kAsyncAccumulator,
                        "block " + std::to_string(cta.index) +
                            " ended before a wgmma was waited for, at " +
                            queue.pending[0].where.file + ":" +
                            std::to_string(queue.pending[0].where.line));
    const auto first = cta.async.wgmma.find(warp / 4 * 4);
    if (first == cta.async.wgmma.end() || first->second.issued != queue.issued)
      RecordLaunchError(Fault::kDivergence,
                        "the warps of a warpgroup issued different wgmmas");
  }
}

}  // namespace simt::emu
