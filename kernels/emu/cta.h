#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/emu/arena.h"
#include "kernels/emu/async.h"
#include "kernels/emu/clock.h"
#include "kernels/emu/fiber.h"
#include "kernels/emu/stacks.h"
#include "kernels/emu/thread.h"
#include "kernels/emu/traffic.h"

// One resident block: its threads, barriers and shared memory. Inside the
// engine only.
namespace simt::emu {

inline constexpr int kWarpLanes = 32;
inline constexpr int kMaxWarps = 32;
inline constexpr int kNumBarriers = 16;

struct Cta;

// A cp.async that has been issued and has not arrived.
struct PendingCopy {
  std::byte* to;
  const std::byte* from;
  int bytes;
  int source_bytes;
  uint32_t group;
  Place where;
};

// One CUDA thread.
struct Lane {
  ThreadView view;
  Fiber fiber;
  Cta* cta = nullptr;
  int warp = 0;
  int lane = 0;  // in its warp
  bool spinning = false;

  // The operation in which it waits, or last waited.
  OpKind kind = OpKind::kSyncWarp;
  uint32_t mask = 0;
  LaneFn fn = nullptr;
  void* arguments = nullptr;
  Place where;

  std::vector<PendingCopy> copies;
  uint32_t copy_group = 0;  // the one that the next commit closes

  LaneClock clock;  // of the check build

  int linear() const { return warp * kWarpLanes + lane; }
  uint32_t bit() const { return 1u << lane; }
};

// Bit l stands for lane l. Every existing lane that does not run just now is in
// one of ready, waiting, at_barrier, spinning and exited.
struct Warp {
  std::unique_ptr<std::array<Lane, kWarpLanes>> lanes;
  uint32_t existing = 0;
  uint32_t ready = 0;
  uint32_t waiting = 0;     // for other lanes of the warp
  uint32_t at_barrier = 0;  // for other warps
  uint32_t spinning = 0;
  uint32_t exited = 0;

  Lane& at(int lane) { return (*lanes)[lane]; }
};

struct Barrier {
  int count = -1;        // threads as given; -1: nobody has come
  int arrived = 0;       // warps
  uint32_t waiting = 0;  // warps
  int num_true = 0;
  int num_threads = 0;
  MergedClock clock;  // of the check build
};

struct Cta {
  explicit Cta(int slot);

  // Makes a new block of it. `index` is the block's linear number.
  void Start(const ThreadView& view, int64_t index, size_t dynamic_bytes,
             uint32_t run);
  // The stacks are left as they are: next time every thread begins anew.
  void Abandon() { fresh = 0; }

  Warp& warp_of(const Lane& lane) { return warps[lane.warp]; }
  void SetReady(int warp, uint32_t lanes) {
    warps[warp].ready |= lanes;
    if (lanes != 0) ready_warps |= 1u << warp;
  }
  bool finished() const { return live_warps == 0; }
  bool anyone_spins() const;

  const int slot;
  int64_t index = 0;  // of the block, linear
  uint32_t run = 0;
  int num_threads = 0;
  int num_warps = 0;
  int live_warps = 0;
  int fresh = 0;       // threads whose fiber waits for the next block
  bool leave = false;  // go to another block at the next switch
  uint32_t ready_warps = 0;
  std::array<Warp, kMaxWarps> warps;
  std::array<Barrier, kNumBarriers> barriers;
  AsyncState async;
  BlockClock clock;                // of the check build
  std::unique_ptr<AccessLog> log;  // of count_traffic
  Arena arena;
  Stacks stacks;

 private:
  void StartLane(Warp& warp, int lane);
};

// The CUDA thread that runs, null outside of kernels.
Lane* CurrentLane();
void SetCurrentLane(Lane* lane);

// Runs somebody else of the block, or the host's loop if nobody can. Returns
// when the caller, who has said in its warp what it waits for, is picked again.
void GiveWay(Lane& me);
// The first switch into a block.
void EnterBlock(Cta& cta, Lane& first);
// Who runs next by the schedule, taken out of `ready`; null if nobody can.
Lane* PickLane(Cta& cta, int current_warp);
// Where the random schedule may stop a thread that could go on.
void MaybePreempt(Lane& me);

// Deposits an operation and checks it against the warp's others. True if all
// of `mask` have come.
bool Deposit(Lane& me, uint32_t mask, OpKind kind, LaneFn fn, void* mine,
             Place where);
// Of a warp whose last lane has ended.
void WarpEnded(Cta& cta);

}  // namespace simt::emu
