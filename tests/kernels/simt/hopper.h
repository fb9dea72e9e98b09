#pragma once

#include "kernels/cuda/simt.h"

// Kernels for sm_90a: mbarrier, TMA, wgmma.
namespace hopper {

// c = a * b; a: [m, k] f16, b: [n, k] f16, c: [m, n] f32. A warp copies tiles
// by TMA in two stages, a warpgroup multiplies. k % 8 == 0. from_registers: the
// warpgroup loads a itself and passes it in registers. False if the tensor maps
// are refused.
bool LaunchGemm(const __half* a, const __half* b, float* c, int m, int n, int k,
                bool from_registers, simt::Stream stream);

// One planted mistake each, but kNone; c: [64, 8] = a [64, 16] * b [8, 16],
// both written to shared memory by ordinary stores, c as registers [128][4].
enum class Mistake {
  kNone,
  kNoProxyFence,
  kNoBarrier,
  kReadBeforeWait,
  kNotAwaited,
};
void LaunchSmallWgmma(Mistake mistake, const __half* a, const __half* b,
                      float* c, simt::Stream stream);

// out[i] = in[i] for 64 ints by one bulk copy.
enum class BulkMistake {
  kNone,
  kNoInit,
  kTooManyArrivals,
  kNoWait,
  kWrongParity,
  kTooFewBytes,  // expected: the barrier never completes
  kMisaligned,
};
void LaunchBulk(BulkMistake mistake, const int* in, int* out,
                simt::Stream stream);

}  // namespace hopper
