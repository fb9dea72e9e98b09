#pragma once

#include <cstdint>

#include "kernels/cuda/simt.h"

// Kernels that put one instruction on inputs from memory, for comparison with a
// definition written down a second time in the test.
namespace tables {

// out[8 * i + f] for words a, b, c [n]: lop3 of three tables, byte_perm,
// __dp4a signed and unsigned, funnel shifts.
void LaunchBits(const uint32_t* abc, uint32_t* out, int n, simt::Stream stream);

// One warp. in: [32 lanes][4 + 2 + 4] words (a, b, d); out: [32][4].
enum class Mma { kU8S8, kS8S8, kF16, kBf16 };
void LaunchMma(Mma kind, const uint32_t* in, uint32_t* out,
               simt::Stream stream);

// One warp; in: 32 rows of 8 halves; out: [7][32][4], x1, x2, x4 plain at 0..2,
// transposed at 3..5, x4 of rows in reverse at 6. Unused registers are 0.
void LaunchLdmatrix(const uint16_t* in, uint32_t* out, simt::Stream stream);

// One warp; out: [kShuffles][32].
inline constexpr int kShuffles = 12;
void LaunchShuffles(const int* in, int* out, simt::Stream stream);

// `threads` threads, not a multiple of 32; out: [threads][3].
void LaunchPartialWarp(int* out, int threads, simt::Stream stream);

// out: [threads][3] of __syncthreads_or, and, count of in != 0.
void LaunchBarrierVotes(const int* in, int* out, int threads,
                        simt::Stream stream);

// Every thread of 4 x 64 at one word each: out as said in tables.cu.
void LaunchAtomics(int* ints, unsigned* words, unsigned long long* longs,
                   float* floats, simt::Stream stream);

// 64 threads. Reads in[stride * i] and, by load_stream16, wide[i]; writes
// out[i]; then shared words: stores with `stride`, loads of uint4 in order.
void LaunchTraffic(const int* in, const uint32_t* wide, int* out, int stride,
                   simt::Stream stream);

}  // namespace tables
