#include "tests/kernels/simt/sound.h"

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

namespace sound {
namespace {

constexpr int kTileM = 32;
constexpr int kTileN = 16;
constexpr int kTileK = 32;
constexpr int kStages = 2;
constexpr int kRow = kTileK + 8;  // halves; 80 bytes, so that ldmatrix's rows
                                  // lie in different banks

struct GemmLayout {
  static constexpr size_t kABytes = sizeof(__half) * kStages * kTileM * kRow;
  static constexpr size_t kBBytes = sizeof(__half) * kStages * kTileN * kRow;
  static constexpr size_t kA = 0;
  static constexpr size_t kB = kA + kABytes + simt::kRedzone;
  static constexpr size_t kBytes = kB + kBBytes + simt::kRedzone;
};

// Rows [first, first + rows) of `from`, k [k0, k0 + kTileK); zero outside.
__device__ void CopyTile(__half* to, const __half* from, int first, int rows,
                         int num_rows, int k0, int k) {
  for (int i = threadIdx.x; i < rows * kTileK / 8; i += blockDim.x) {
    const int row = i / (kTileK / 8);
    const int column = k0 + i % (kTileK / 8) * 8;
    const bool inside = first + row < num_rows && column < k;
    const __half* source =
        inside ? from + static_cast<size_t>(first + row) * k + column : from;
    ptx::cp_async16(to + row * kRow + column - k0, source, inside ? 16 : 0);
  }
}

__global__ void __launch_bounds__(64)
    GemmKernel(const __half* a, const __half* b, float* c, int m, int n,
               int k) {
  SIMT_DYNAMIC_SHARED(arena);
  auto* tile_a = reinterpret_cast<__half*>(arena + GemmLayout::kA);
  auto* tile_b = reinterpret_cast<__half*>(arena + GemmLayout::kB);
  simt::carve(tile_a, GemmLayout::kABytes);
  simt::carve(tile_b, GemmLayout::kBBytes);
  const int m0 = blockIdx.x * kTileM;
  const int n0 = blockIdx.y * kTileN;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;

  const auto load = [&](int stage, int k0) {
    if (k0 < k) {
      CopyTile(tile_a + stage * kTileM * kRow, a, m0, kTileM, m, k0, k);
      CopyTile(tile_b + stage * kTileN * kRow, b, n0, kTileN, n, k0, k);
    }
    ptx::cp_async_commit();
  };
  float sums[2][4] = {};
  load(0, 0);
  for (int k0 = 0, stage = 0; k0 < k; k0 += kTileK, stage ^= 1) {
    load(stage ^ 1, k0 + kTileK);
    ptx::cp_async_wait<1>();
    __syncthreads();  // this stage of all threads has arrived
#pragma unroll
    for (int kk = 0; kk < kTileK; kk += 16) {
      uint32_t fa[4];
      uint32_t fb[4];
      const __half* rows_a = tile_a + stage * kTileM * kRow + kk;
      const __half* rows_b = tile_b + stage * kTileN * kRow + kk;
      ptx::ldmatrix_x4(fa,
                       rows_a + (warp * 16 + lane % 16) * kRow + lane / 16 * 8);
      ptx::ldmatrix_x4(
          fb, rows_b + (lane / 16 * 8 + lane % 8) * kRow + lane / 8 % 2 * 8);
      const uint32_t b0[2] = {fb[0], fb[1]};
      const uint32_t b1[2] = {fb[2], fb[3]};
      ptx::mma_m16n8k16_f16(sums[0], fa, b0);
      ptx::mma_m16n8k16_f16(sums[1], fa, b1);
    }
    __syncthreads();  // nobody reads the stage that is refilled next
  }
  ptx::cp_async_wait<0>();
  for (int half = 0; half < 2; ++half)
    for (int i = 0; i < 4; ++i) {
      const int row = m0 + warp * 16 + lane / 4 + 8 * (i / 2);
      const int column = n0 + half * 8 + 2 * (lane % 4) + i % 2;
      if (row < m && column < n)
        c[static_cast<size_t>(row) * n + column] = sums[half][i];
    }
}

// The block's sum, in thread 0.
__device__ int BlockSum(int value) {
  SIMT_SHARED(int, sums, [32]);
  for (int step = 16; step > 0; step /= 2)
    value += __shfl_down_sync(~0u, value, step);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
  __syncthreads();
  int total = 0;
  if (threadIdx.x == 0)
    for (unsigned w = 0; w < blockDim.x / 32; ++w) total += sums[w];
  return total;
}

__global__ void LastBlockSumKernel(const int* in, int* partial, int* count,
                                   int* out, int n) {
  SIMT_SHARED(int, last);
  int mine = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n;
       i += gridDim.x * blockDim.x)
    mine += in[i];
  const int sum = BlockSum(mine);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    __threadfence();
    last = atomicAdd(count, 1) == static_cast<int>(gridDim.x) - 1;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  int total = 0;
  if (threadIdx.x == 0) {
    for (unsigned b = 0; b < gridDim.x; ++b) total += partial[b];
    out[0] = total;
  }
}

__global__ void LockKernel(int* lock, int* total) {
  if (threadIdx.x == 0) {
    while (atomicCAS(lock, 0, 1) != 0) simt::yield();
    __threadfence();
    total[0] += 1;
    __threadfence();
    atomicExch(lock, 0);
  }
}

constexpr int kFull = 1;
constexpr int kEmpty = 2;

__global__ void NamedBarriersKernel(const int* in, int* out, int rounds) {
  SIMT_SHARED(int, slot, [32]);
  const int lane = threadIdx.x % 32;
  if (threadIdx.x < 32) {
    for (int r = 0; r < rounds; ++r) {
      if (r > 0) ptx::named_barrier_sync(kEmpty, 64);
      slot[lane] = in[r * 32 + lane];
      __threadfence_block();
      ptx::named_barrier_arrive(kFull, 64);
    }
  } else {
    for (int r = 0; r < rounds; ++r) {
      ptx::named_barrier_sync(kFull, 64);
      out[r * 32 + lane] = 3 * slot[31 - (31 - lane)];
      if (r + 1 < rounds) ptx::named_barrier_arrive(kEmpty, 64);
    }
  }
}

__global__ void ChainKernel(unsigned* flags, int* out) {
  SIMT_SHARED(int, before);
  const unsigned me = blockIdx.x;
  if (threadIdx.x == 0) {
    if (me > 0)
      while (ptx::load_acquire(flags + me - 1) == 0) simt::yield();
    before = me == 0 ? -1 : out[me - 1];
    out[me] = before + 1;
    ptx::store_release(flags + me, 1);
  }
}

__global__ void WarpExchangeKernel(const int* in, int* out, int n) {
  SIMT_SHARED(int, slot, [64]);
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  slot[threadIdx.x] = i < n ? in[i] : 0;
  __syncwarp();
  const int other = slot[threadIdx.x ^ 1];
  __syncwarp();
  slot[threadIdx.x] = other + 1;
  __syncwarp();
  if (i < n) out[i] = slot[threadIdx.x ^ 1];
}

}  // namespace

void LaunchGemm(const __half* a, const __half* b, float* c, int m, int n, int k,
                simt::Stream stream) {
  const dim3 grid((m + kTileM - 1) / kTileM, (n + kTileN - 1) / kTileN);
  simt::launch(GemmKernel, grid, dim3(64), GemmLayout::kBytes, stream, a, b, c,
               m, n, k);
}

void LaunchLastBlockSum(const int* in, int* partial, int* count, int* out,
                        int n, int blocks, simt::Stream stream) {
  simt::launch(LastBlockSumKernel, dim3(blocks), dim3(128), 0, stream, in,
               partial, count, out, n);
}

void LaunchLock(int* lock, int* total, int blocks, simt::Stream stream) {
  simt::launch(LockKernel, dim3(blocks), dim3(32), 0, stream, lock, total);
}

void LaunchNamedBarriers(const int* in, int* out, int rounds,
                         simt::Stream stream) {
  simt::launch(NamedBarriersKernel, dim3(1), dim3(64), 0, stream, in, out,
               rounds);
}

void LaunchChain(unsigned* flags, int* out, int blocks, simt::Stream stream) {
  simt::launch(ChainKernel, dim3(blocks), dim3(32), 0, stream, flags, out);
}

void LaunchWarpExchange(const int* in, int* out, int n, simt::Stream stream) {
  simt::launch(WarpExchangeKernel, dim3((n + 63) / 64), dim3(64), 0, stream, in,
               out, n);
}

}  // namespace sound
