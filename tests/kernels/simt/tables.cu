#include "tests/kernels/simt/tables.h"

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

namespace tables {
namespace {

__global__ void BitsKernel(const uint32_t* abc, uint32_t* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const uint32_t a = abc[3 * i];
  const uint32_t b = abc[3 * i + 1];
  const uint32_t c = abc[3 * i + 2];
  uint32_t* to = out + 8 * i;
  to[0] = ptx::lop3<0xE8>(a, b, c);
  to[1] = ptx::lop3<0x6A>(a, b, c);
  to[2] = ptx::lop3<0x01>(a, b, c);
  to[3] = __byte_perm(a, b, c);
  to[4] = static_cast<uint32_t>(
      __dp4a(static_cast<int>(a), static_cast<int>(b), static_cast<int>(c)));
  to[5] = __dp4a(a, b, c);
  to[6] = __funnelshift_l(a, b, c);
  to[7] = __funnelshift_r(a, b, c);
}

template <int kKind>
__global__ void MmaKernel(const uint32_t* in, uint32_t* out) {
  const uint32_t* mine = in + 10 * threadIdx.x;
  uint32_t a[4];
  uint32_t b[2];
  int32_t d[4];
  float f[4];
  for (int i = 0; i < 4; ++i) a[i] = mine[i];
  for (int i = 0; i < 2; ++i) b[i] = mine[4 + i];
  for (int i = 0; i < 4; ++i) d[i] = static_cast<int32_t>(mine[6 + i]);
  for (int i = 0; i < 4; ++i) f[i] = __uint_as_float(mine[6 + i]);
  if (kKind == 0) ptx::mma_m16n8k32_u8s8(d, a, b);
  if (kKind == 1) ptx::mma_m16n8k32_s8s8(d, a, b);
  if (kKind == 2) ptx::mma_m16n8k16_f16(f, a, b);
  if (kKind == 3) ptx::mma_m16n8k16_bf16(f, a, b);
  for (int i = 0; i < 4; ++i)
    out[4 * threadIdx.x + i] =
        kKind < 2 ? static_cast<uint32_t>(d[i]) : __float_as_uint(f[i]);
}

template <int kMatrices, bool kTransposed>
__device__ void Load(const uint16_t* row, uint32_t* out) {
  uint32_t r[kMatrices];
  if constexpr (kMatrices == 1 && !kTransposed) ptx::ldmatrix_x1(r, row);
  if constexpr (kMatrices == 2 && !kTransposed) ptx::ldmatrix_x2(r, row);
  if constexpr (kMatrices == 4 && !kTransposed) ptx::ldmatrix_x4(r, row);
  if constexpr (kMatrices == 1 && kTransposed) ptx::ldmatrix_x1_trans(r, row);
  if constexpr (kMatrices == 2 && kTransposed) ptx::ldmatrix_x2_trans(r, row);
  if constexpr (kMatrices == 4 && kTransposed) ptx::ldmatrix_x4_trans(r, row);
  for (int i = 0; i < 4; ++i)
    out[4 * threadIdx.x + i] = i < kMatrices ? r[i < kMatrices ? i : 0] : 0;
}

__global__ void LdmatrixKernel(const uint16_t* in, uint32_t* out) {
  SIMT_SHARED(uint4, rows, [32]);
  const int lane = threadIdx.x;
  rows[lane] = reinterpret_cast<const uint4*>(in)[lane];
  __syncwarp();
  const auto* row = reinterpret_cast<const uint16_t*>(&rows[lane]);
  const auto* reversed = reinterpret_cast<const uint16_t*>(&rows[31 - lane]);
  Load<1, false>(row, out);
  Load<2, false>(row, out + 128);
  Load<4, false>(row, out + 256);
  Load<1, true>(row, out + 384);
  Load<2, true>(row, out + 512);
  Load<4, true>(row, out + 640);
  Load<4, false>(reversed, out + 768);
}

__global__ void ShufflesKernel(const int* in, int* out) {
  const int lane = threadIdx.x;
  const int v = in[lane];
  const unsigned all = ~0u;
  int r[kShuffles] = {};
  r[0] = __shfl_sync(all, v, 5);
  r[1] = __shfl_sync(all, v, lane + 3, 8);
  r[2] = __shfl_up_sync(all, v, 3);
  r[3] = __shfl_up_sync(all, v, 3, 16);
  r[4] = __shfl_down_sync(all, v, 7);
  r[5] = __shfl_down_sync(all, v, 2, 4);
  r[6] = __shfl_xor_sync(all, v, 9);
  r[7] = __shfl_xor_sync(all, v, 12, 8);
  // Partial masks: two halves apart, each with its own operation.
  if (lane < 16)
    r[8] = __shfl_xor_sync(0xFFFFu, v, 8);
  else
    r[8] = static_cast<int>(__ballot_sync(0xFFFF0000u, v & 1));
  if (lane % 2 == 0)
    r[9] = __reduce_add_sync(0x55555555u, v);
  else
    r[9] = __reduce_max_sync(0xAAAAAAAAu, v);
  r[10] = static_cast<int>(
      __double_as_longlong(__shfl_sync(all, v * 0.5, lane ^ 1)) >> 32);
  r[11] = __any_sync(all, v == in[31]) + 2 * __all_sync(all, v == in[31]) +
          4 * static_cast<int>(__match_any_sync(all, v % 3) & 0xFFFF);
  for (int i = 0; i < kShuffles; ++i) out[32 * i + lane] = r[i];
}

__global__ void PartialWarpKernel(int* out) {
  const int t = threadIdx.x;
  out[3 * t] = __popc(__ballot_sync(~0u, 1));
  out[3 * t + 1] = __reduce_add_sync(~0u, 1);
  out[3 * t + 2] = __shfl_sync(~0u, t, 0);
}

__global__ void BarrierVotesKernel(const int* in, int* out) {
  const int t = threadIdx.x;
  out[3 * t] = __syncthreads_or(in[t]);
  out[3 * t + 1] = __syncthreads_and(in[t]);
  out[3 * t + 2] = __syncthreads_count(in[t]);
}

__global__ void AtomicsKernel(int* ints, unsigned* words,
                              unsigned long long* longs, float* floats) {
  const int i = blockIdx.x * 64 + threadIdx.x;
  atomicAdd(ints, i);
  atomicMax(ints + 1, i);
  atomicMin(ints + 2, -i);
  atomicAdd(words, 3u);
  atomicOr(words + 1, 1u << i % 32);
  atomicAnd(words + 2, ~(1u << i % 31));
  while (atomicCAS(words + 3, static_cast<unsigned>(i),
                   static_cast<unsigned>(i) + 1) != static_cast<unsigned>(i))
    simt::yield();
  atomicAdd(longs, 1ull << 33);
  atomicMax(longs + 1, static_cast<unsigned long long>(i) << 32);
  atomicAdd(floats, 0.5f);
}

__global__ void TrafficKernel(const int* in, const uint32_t* wide, int* out,
                              int stride) {
  SIMT_SHARED(uint4, s, [16 * 32]);
  const int i = threadIdx.x;
  auto* words = reinterpret_cast<uint32_t*>(s);
  const uint4 w = ptx::load_stream16(wide + 4 * i);
  words[i * stride] = w.x + in[stride * i];
  __syncthreads();
  s[i] = w;
  __syncthreads();
  const uint4 back = s[i];
  out[i] = static_cast<int>(back.x + back.y + back.z + back.w);
}

}  // namespace

void LaunchBits(const uint32_t* abc, uint32_t* out, int n,
                simt::Stream stream) {
  simt::launch(BitsKernel, dim3((n + 63) / 64), dim3(64), 0, stream, abc, out,
               n);
}

void LaunchMma(Mma kind, const uint32_t* in, uint32_t* out,
               simt::Stream stream) {
  void (*const kernels[])(const uint32_t*, uint32_t*) = {
      MmaKernel<0>, MmaKernel<1>, MmaKernel<2>, MmaKernel<3>};
  simt::launch(kernels[static_cast<int>(kind)], dim3(1), dim3(32), 0, stream,
               in, out);
}

void LaunchLdmatrix(const uint16_t* in, uint32_t* out, simt::Stream stream) {
  simt::launch(LdmatrixKernel, dim3(1), dim3(32), 0, stream, in, out);
}

void LaunchShuffles(const int* in, int* out, simt::Stream stream) {
  simt::launch(ShufflesKernel, dim3(1), dim3(32), 0, stream, in, out);
}

void LaunchPartialWarp(int* out, int threads, simt::Stream stream) {
  simt::launch(PartialWarpKernel, dim3(1), dim3(threads), 0, stream, out);
}

void LaunchBarrierVotes(const int* in, int* out, int threads,
                        simt::Stream stream) {
  simt::launch(BarrierVotesKernel, dim3(1), dim3(threads), 0, stream, in, out);
}

void LaunchAtomics(int* ints, unsigned* words, unsigned long long* longs,
                   float* floats, simt::Stream stream) {
  simt::launch(AtomicsKernel, dim3(4), dim3(64), 0, stream, ints, words, longs,
               floats);
}

void LaunchTraffic(const int* in, const uint32_t* wide, int* out, int stride,
                   simt::Stream stream) {
  simt::launch(TrafficKernel, dim3(1), dim3(64), 0, stream, in, wide, out,
               stride);
}

}  // namespace tables
