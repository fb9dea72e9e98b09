#pragma once

#include <cstdint>

#include "kernels/cuda/table.h"

// The benchmark's own kernels: plain reads, and random data made on the device
// because gigabytes of it would take the host minutes.
namespace quatrain::bench {

// Of one block of threads that reads; `loads` (4, 8 or 16) of 16 bytes are in
// flight in each.
constexpr int kReadThreads = 256;

// Reads `bytes`, a multiple of 64 KiB, and writes a sum per thread to
// sums[blocks * kReadThreads].
void LaunchRead(const void* from, int64_t bytes, int loads, int blocks,
                uint32_t* sums, QuatrainStream stream);

// Uniform in [-scale, scale).
void LaunchFillF16(uint16_t* to, int64_t count, float scale, uint32_t seed,
                   QuatrainStream stream);
void LaunchFillF32(float* to, int64_t count, float scale, uint32_t seed,
                   QuatrainStream stream);

// Of the toolkit that compiled this, as 1000 * major + 10 * minor.
int CudaVersion();

}  // namespace quatrain::bench
