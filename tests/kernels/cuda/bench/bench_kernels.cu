// Plain reads and random data for the benchmark.
//
// Shapes    see kernels.h.
// Launch    read: as many blocks as asked for, each takes pieces in turn. fill:
//           one thread per element.
// Numerics  none.
// Roofline  read: it is the roofline.

#include <cstdint>

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"
#include "tests/kernels/cuda/bench/kernels.h"

namespace quatrain::bench {
namespace {

constexpr int kFillThreads = 256;

template <int kLoads>
__global__ void __launch_bounds__(kReadThreads)
    ReadKernel(const uint4* from, int64_t count, uint32_t* sums) {
  constexpr int64_t kPiece = kReadThreads * kLoads;
  uint32_t sum = 0;
  for (int64_t at = blockIdx.x * kPiece + threadIdx.x; at < count;
       at += gridDim.x * kPiece) {
    uint4 words[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i)
      words[i] = ptx::load_stream16(from + at + i * kReadThreads);
#pragma unroll
    for (int i = 0; i < kLoads; ++i)
      sum += words[i].x ^ words[i].y ^ words[i].z ^ words[i].w;
  }
  sums[blockIdx.x * kReadThreads + threadIdx.x] = sum;
}

__device__ uint32_t Mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

// In [-1, 1), the same for an index wherever it is computed.
__device__ float Uniform(int64_t index, uint32_t seed) {
  const uint32_t bits = Mix(static_cast<uint32_t>(index) ^
                            Mix(seed + static_cast<uint32_t>(index >> 32)));
  return static_cast<float>(bits >> 8) * 0x1p-23f - 1.0f;
}

__global__ void __launch_bounds__(kFillThreads)
    FillF16Kernel(uint16_t* to, int64_t count, float scale, uint32_t seed) {
  const int64_t i =
      static_cast<int64_t>(blockIdx.x) * kFillThreads + threadIdx.x;
  if (i < count)
    to[i] = __half_as_ushort(__float2half_rn(Uniform(i, seed) * scale));
}

__global__ void __launch_bounds__(kFillThreads)
    FillF32Kernel(float* to, int64_t count, float scale, uint32_t seed) {
  const int64_t i =
      static_cast<int64_t>(blockIdx.x) * kFillThreads + threadIdx.x;
  if (i < count) to[i] = Uniform(i, seed) * scale;
}

dim3 FillGrid(int64_t count) {
  return dim3(static_cast<unsigned>((count + kFillThreads - 1) / kFillThreads));
}

}  // namespace

void LaunchRead(const void* from, int64_t bytes, int loads, int blocks,
                uint32_t* sums, QuatrainStream stream) {
  const auto kernel = loads == 4   ? ReadKernel<4>
                      : loads == 8 ? ReadKernel<8>
                                   : ReadKernel<16>;
  simt::launch(kernel, dim3(blocks), dim3(kReadThreads), 0,
               static_cast<simt::Stream>(stream),
               static_cast<const uint4*>(from), bytes / 16, sums);
}

void LaunchFillF16(uint16_t* to, int64_t count, float scale, uint32_t seed,
                   QuatrainStream stream) {
  simt::launch(FillF16Kernel, FillGrid(count), dim3(kFillThreads), 0,
               static_cast<simt::Stream>(stream), to, count, scale, seed);
}

void LaunchFillF32(float* to, int64_t count, float scale, uint32_t seed,
                   QuatrainStream stream) {
  simt::launch(FillF32Kernel, FillGrid(count), dim3(kFillThreads), 0,
               static_cast<simt::Stream>(stream), to, count, scale, seed);
}

int CudaVersion() { return CUDART_VERSION; }

}  // namespace quatrain::bench
