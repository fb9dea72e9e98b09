#pragma once

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {

// What a warp reads once, on its way from memory: slots in shared memory that
// this warp alone fills, by cp.async, and empties, in turn. Not registers: the
// loads of several slots are counted by one scoreboard, so that who waits for
// the oldest waits for the newest.
//
//   kSlots times: copy into slot(), Advance()
//   each turn:    Wait(), read slot(), copy into slot(), Advance()
template <int kSlots, int kSlotBytes>
class WarpRing {
 public:
  // Of dynamic shared memory.
  static constexpr int kBytes =
      kSlots * kSlotBytes + static_cast<int>(simt::kRedzone);

  __device__ explicit WarpRing(unsigned char* memory) : memory_(memory) {
    simt::carve(memory, kSlots * kSlotBytes);
  }

  __device__ unsigned char* slot() const { return memory_ + at_; }

  // Until this lane's copies into slot() have arrived; a __syncwarp() shows
  // them to the other lanes.
  __device__ void Wait() const { ptx::cp_async_wait<kSlots - 1>(); }

  __device__ void Advance() {
    ptx::cp_async_commit();  // also of nothing, so that the count stays right
    at_ = at_ == (kSlots - 1) * kSlotBytes ? 0 : at_ + kSlotBytes;
  }

 private:
  unsigned char* memory_;
  int at_ = 0;
};

}  // namespace quatrain::cuda
