#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/emu/access.h"
#include "kernels/emu/buffers.h"
#include "kernels/emu/cta.h"

// What the check build does on top: clocks, and the state of every byte. Each
// of these is cheap and does nothing elsewhere.
namespace simt::emu {

// Set where kernels are compiled with hooks.
extern bool checking;
// Whether the hooks look: not while the engine's own code runs. Of the standard
// library it may have been linked with what a kernel's file instantiated, hooks
// and all.
extern thread_local bool hooks_look;

class HooksOff {
 public:
  HooksOff() : before_(hooks_look) { hooks_look = false; }
  ~HooksOff() { hooks_look = before_; }
  HooksOff(const HooksOff&) = delete;
  HooksOff& operator=(const HooksOff&) = delete;

 private:
  const bool before_;
};

// Around a launch.
void BeginLaunchChecks();
void EndLaunchChecks();

// The lanes know what all of them know, and go on.
void SyncWarpClocks(Warp& warp, uint32_t lanes);
// The lanes' knowledge goes into the barrier ...
void ReleaseClocks(Warp& warp, uint32_t lanes, MergedClock& clock);
// ... and from it to those who waited, all of at_barrier.
void AcquireClocks(Warp& warp, const MergedClock& clock);

// The same for one thread and a barrier in memory.
void ReleaseLane(Lane& me, MergedClock& clock);
void AcquireLane(Lane& me, const MergedClock& clock);
// These bytes of a bulk copy are there; its issue was looked at as a write.
void DeliveredAsync(Arena& arena, const void* begin, size_t bytes);

// What the running thread does to shared memory of its block, to a device
// buffer; bounds are known to be right.
void SharedAccess(Lane& me, const void* address, size_t bytes, Access access,
                  const Origin& origin);
void GlobalAccess(Lane& me, Allocation& buffer, const void* address,
                  size_t bytes, Access access, const Origin& origin);

// An atomic operation's order.
enum class Sync {
  kFenced,  // releases if the thread has fenced before; acquires
  kAcquire,
  kRelease,
};
void SyncWord(Lane& me, const void* word, Sync sync);
void ForgetSyncWords();

}  // namespace simt::emu
