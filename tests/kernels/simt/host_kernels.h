#pragma once

#include "kernels/cuda/simt.h"

namespace host {

// x[i] += amount, for every thread of every block.
void LaunchAdd(int* x, int amount, int blocks, int threads, size_t shared,
               simt::Stream stream);
bool AllowShared(size_t bytes);  // of that kernel

// Every block counts itself and waits until all `blocks` have.
void LaunchMeet(unsigned* count, int blocks, simt::Stream stream);

// Half of the warps wait for a barrier that the others never come to.
void LaunchDeadlock(int threads, simt::Stream stream);

// Thread 0 names a barrier that there is not; the others add 1 to x[i].
void LaunchFirstThreadFails(int* x, int threads, simt::Stream stream);

// Two blocks add to x[0] without an atomic.
void LaunchCollide(int* x, simt::Stream stream);

}  // namespace host
