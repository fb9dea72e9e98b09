#include "tests/kernels/simt/hopper.h"

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

namespace hopper {
namespace {

constexpr int kTileM = 64;
constexpr int kTileN = 64;
constexpr int kTileK = 64;  // 128 bytes: one row of the swizzle
constexpr int kStages = 2;
constexpr int kConsumers = 128;

constexpr size_t RoundUp(size_t bytes) { return (bytes + 1023) / 1024 * 1024; }

// The tiles lie on 1024-byte boundaries, red zones or not.
struct GemmLayout {
  static constexpr size_t kTileBytes = sizeof(__half) * kTileM * kTileK;
  static constexpr size_t kStep = RoundUp(kTileBytes + simt::kRedzone);
  static constexpr size_t kA = 0;
  static constexpr size_t kB = kA + kStages * kStep;
  static constexpr size_t kBytes = kB + kStages * kStep;
};

__device__ void WaitPhase(uint64_t* barrier, uint32_t parity) {
  while (!ptx::mbarrier_try_wait_parity(barrier, parity)) simt::yield();
}

// A's fragment of rows [row, row + 64) and k [k0, k0 + 16); zero outside.
__device__ void LoadA(const __half* a, int m, int k, int row, int k0,
                      uint32_t (&fragment)[4]) {
  const int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; ++i) {
    const int r = row + threadIdx.x / 32 * 16 + lane / 4 + 8 * (i % 2);
    const int c = k0 + 2 * (lane % 4) + 8 * (i / 2);
    fragment[i] = r < m && c < k ? *reinterpret_cast<const uint32_t*>(
                                       a + static_cast<size_t>(r) * k + c)
                                 : 0;
  }
}

template <bool kFromRegisters>
__global__ void __launch_bounds__(kConsumers + 32)
    GemmKernel(const __grid_constant__ ptx::TensorMap map_a,
               const __grid_constant__ ptx::TensorMap map_b, const __half* a,
               float* c, int m, int n, int k) {
  SIMT_DYNAMIC_SHARED(arena);
  SIMT_SHARED(uint64_t, full, [kStages]);
  SIMT_SHARED(uint64_t, empty, [kStages]);
  for (int s = 0; s < 2 * kStages; ++s)
    simt::carve(arena + s * GemmLayout::kStep, GemmLayout::kTileBytes);
  const int m0 = blockIdx.x * kTileM;
  const int n0 = blockIdx.y * kTileN;
  const int tiles = (k + kTileK - 1) / kTileK;
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      ptx::mbarrier_init(&full[s], 1);
      ptx::mbarrier_init(&empty[s], kConsumers);
    }
    ptx::fence_mbarrier_init();
  }
  __syncthreads();  // the barriers are initialised

  if (threadIdx.x >= kConsumers) {
    if (threadIdx.x % 32 == 0)
      for (int t = 0; t < tiles; ++t) {
        const int s = t % kStages;
        if (t >= kStages) WaitPhase(&empty[s], (t / kStages - 1) % 2);
        ptx::mbarrier_arrive_expect_tx(&full[s], 2 * GemmLayout::kTileBytes);
        ptx::bulk_tensor_2d(arena + GemmLayout::kA + s * GemmLayout::kStep,
                            map_a, t * kTileK, m0, &full[s]);
        ptx::bulk_tensor_2d(arena + GemmLayout::kB + s * GemmLayout::kStep,
                            map_b, t * kTileK, n0, &full[s]);
      }
    return;
  }

  float d[kTileN / 2] = {};
  for (int t = 0; t < tiles; ++t) {
    const int s = t % kStages;
    WaitPhase(&full[s], t / kStages % 2);
    const uint64_t tile_a =
        ptx::wgmma_descriptor(arena + GemmLayout::kA + s * GemmLayout::kStep);
    const uint64_t tile_b =
        ptx::wgmma_descriptor(arena + GemmLayout::kB + s * GemmLayout::kStep);
    uint32_t fragments[kTileK / 16][4];
    if (kFromRegisters)
      for (int kk = 0; kk < kTileK / 16; ++kk)
        LoadA(a, m, k, m0, t * kTileK + kk * 16, fragments[kk]);
    ptx::wgmma_fence();
#pragma unroll
    for (int kk = 0; kk < kTileK / 16; ++kk) {
      if (kFromRegisters)
        ptx::wgmma_m64k16_f16(d, fragments[kk], tile_b + 2 * kk);
      else
        ptx::wgmma_m64k16_f16(d, tile_a + 2 * kk, tile_b + 2 * kk);
    }
    ptx::wgmma_commit();
    ptx::wgmma_wait<0>();
    ptx::mbarrier_arrive(&empty[s]);
  }
  const int lane = threadIdx.x % 32;
  for (int e = 0; e < kTileN / 2; ++e) {
    const int row = m0 + threadIdx.x / 32 * 16 + lane / 4 + 8 * (e / 2 % 2);
    const int column = n0 + 8 * (e / 4) + 2 * (lane % 4) + e % 2;
    if (row < m && column < n) c[static_cast<size_t>(row) * n + column] = d[e];
  }
}

template <int kMistake>
__global__ void __launch_bounds__(128)
    SmallWgmmaKernel(const __half* a, const __half* b, float* c) {
  SIMT_DYNAMIC_SHARED(arena);
  constexpr auto mistake = static_cast<Mistake>(kMistake);
  // Rows of 128 bytes, of which 16 halves are used, swizzled by hand.
  const auto put = [&](unsigned char* tile, int row, int k, __half value) {
    const int offset = row * 128 + 2 * k;
    *reinterpret_cast<__half*>(tile + (offset ^ (offset >> 3 & 0x70))) = value;
  };
  unsigned char* tile_a = arena;
  unsigned char* tile_b = arena + 64 * 128;
  for (int i = threadIdx.x; i < 64 * 16; i += 128)
    put(tile_a, i / 16, i % 16, a[i]);
  if (threadIdx.x < 8 * 16)
    put(tile_b, threadIdx.x / 16, threadIdx.x % 16, b[threadIdx.x]);
  if (mistake != Mistake::kNoProxyFence) ptx::fence_proxy_async();
  if (mistake != Mistake::kNoBarrier) __syncthreads();
  float d[4] = {};
  ptx::wgmma_fence();
  ptx::wgmma_m64k16_f16(d, ptx::wgmma_descriptor(tile_a),
                        ptx::wgmma_descriptor(tile_b));
  ptx::wgmma_commit();
  if (mistake != Mistake::kReadBeforeWait && mistake != Mistake::kNotAwaited)
    ptx::wgmma_wait<0>();
  for (int e = 0; e < 4; ++e) c[4 * threadIdx.x + e] = d[e];
  if (mistake == Mistake::kReadBeforeWait) ptx::wgmma_wait<0>();
}

template <int kMistake>
__global__ void BulkKernel(const int* in, int* out) {
  SIMT_SHARED(uint4, tile, [17]);
  SIMT_SHARED(uint64_t, barrier);
  constexpr auto mistake = static_cast<BulkMistake>(kMistake);
  constexpr uint32_t bytes = 64 * sizeof(int);
  if (threadIdx.x == 0) {
    if (mistake != BulkMistake::kNoInit) ptx::mbarrier_init(&barrier, 1);
    ptx::fence_mbarrier_init();
    ptx::mbarrier_arrive_expect_tx(
        &barrier, mistake == BulkMistake::kTooFewBytes ? bytes / 2 : bytes);
    if (mistake == BulkMistake::kTooManyArrivals)
      ptx::mbarrier_arrive(&barrier);
    auto* to = reinterpret_cast<int*>(tile);
    ptx::bulk_copy_to_shared(to + (mistake == BulkMistake::kMisaligned), in,
                             bytes, &barrier);
  }
  __syncthreads();
  if (mistake != BulkMistake::kNoWait)
    while (!ptx::mbarrier_try_wait_parity(
        &barrier, mistake == BulkMistake::kWrongParity ? 1 : 0))
      simt::yield();
  out[threadIdx.x] = reinterpret_cast<int*>(tile)[threadIdx.x];
}

}  // namespace

bool LaunchGemm(const __half* a, const __half* b, float* c, int m, int n, int k,
                bool from_registers, simt::Stream stream) {
  const auto map = [&](const __half* base, int rows, int box_rows,
                       ptx::TensorMap* out) {
    return ptx::make_tensor_map_2d(out, base, sizeof(__half), k, rows,
                                   sizeof(__half) * k, kTileK, box_rows, true);
  };
  ptx::TensorMap map_a;
  ptx::TensorMap map_b;
  if (!map(a, m, kTileM, &map_a) || !map(b, n, kTileN, &map_b)) return false;
  const dim3 grid((m + kTileM - 1) / kTileM, (n + kTileN - 1) / kTileN);
  const auto kernel = from_registers ? GemmKernel<true> : GemmKernel<false>;
  if (!simt::allow_dynamic_shared(kernel, GemmLayout::kBytes)) return false;
  simt::launch(kernel, grid, dim3(kConsumers + 32), GemmLayout::kBytes, stream,
               map_a, map_b, a, c, m, n, k);
  return true;
}

void LaunchSmallWgmma(Mistake mistake, const __half* a, const __half* b,
                      float* c, simt::Stream stream) {
  void (*const kernels[])(const __half*, const __half*, float*) = {
      SmallWgmmaKernel<0>, SmallWgmmaKernel<1>, SmallWgmmaKernel<2>,
      SmallWgmmaKernel<3>, SmallWgmmaKernel<4>};
  simt::launch(kernels[static_cast<int>(mistake)], dim3(1), dim3(128),
               (64 + 8) * 128, stream, a, b, c);
}

void LaunchBulk(BulkMistake mistake, const int* in, int* out,
                simt::Stream stream) {
  void (*const kernels[])(const int*, int*) = {
      BulkKernel<0>, BulkKernel<1>, BulkKernel<2>, BulkKernel<3>,
      BulkKernel<4>, BulkKernel<5>, BulkKernel<6>};
  simt::launch(kernels[static_cast<int>(mistake)], dim3(1), dim3(64), 0, stream,
               in, out);
}

}  // namespace hopper
