#pragma once

#include "kernels/cuda/simt.h"

// Sound kernels: nothing may be reported of them, in any build or schedule.
namespace sound {

// c = a * b; a: [m, k] f16, b: [n, k] f16 (columns of b), c: [m, n] f32. One
// block of two warps per 32 x 16 tile, cp.async in two stages of 32 of k.
// m, n >= 1; k % 8 == 0.
void LaunchGemm(const __half* a, const __half* b, float* c, int m, int n, int k,
                simt::Stream stream);

// out[0] = sum of in, by the block that finishes last.
void LaunchLastBlockSum(const int* in, int* partial, int* count, int* out,
                        int n, int blocks, simt::Stream stream);

// total += 1 per block, under a lock.
void LaunchLock(int* lock, int* total, int blocks, simt::Stream stream);

// One warp makes, one takes, over two named barriers; out[i] = 3 * in[i].
void LaunchNamedBarriers(const int* in, int* out, int rounds,
                         simt::Stream stream);

// Block i waits for the flag of block i - 1; out[i] = i.
void LaunchChain(unsigned* flags, int* out, int blocks, simt::Stream stream);

// Shared neighbours in a warp, ordered by __syncwarp.
void LaunchWarpExchange(const int* in, int* out, int n, simt::Stream stream);

}  // namespace sound
