#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"
#include "tests/kernels/simt/broken.h"

namespace broken {
namespace {

using simt::Fault;

__global__ void CopyWithoutWait(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  ptx::cp_async4(&s[threadIdx.x], in + (threadIdx.x ^ 32));
  ptx::cp_async_commit();
  out[threadIdx.x] = s[threadIdx.x] + 1;
  ptx::cp_async_wait<0>();
}

__global__ void CopyNeverAwaited(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  ptx::cp_async4(&s[threadIdx.x], in);
  ptx::cp_async_commit();
  out[threadIdx.x] = in[threadIdx.x ^ 32] + 1;
}

// Its last copy belongs to no group.
__global__ void CopyNotCommitted(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  ptx::cp_async_commit();
  ptx::cp_async4(&s[threadIdx.x], in + (threadIdx.x ^ 32));
  ptx::cp_async_wait<0>();
  out[threadIdx.x] = s[threadIdx.x] + 1;
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
}

__global__ void CopyWaitWithoutBarrier(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  s[threadIdx.x] = 0;
  __syncthreads();
  ptx::cp_async4(&s[threadIdx.x], in + threadIdx.x);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
  out[threadIdx.x] = s[threadIdx.x ^ 32] + 1;
}

__global__ void CopyWaitTooLargeOnLastTile(const int* in, int* out) {
  SIMT_SHARED(int, s, [2][32]);
  const int t = threadIdx.x;
  if (t < 32) {
    for (int tile = 0; tile < 2; ++tile) {
      ptx::cp_async4(&s[tile][t], in + ((tile * 32 + t) ^ 32));
      ptx::cp_async_commit();
    }
    for (int tile = 0; tile < 2; ++tile) {
      ptx::cp_async_wait<1>();
      out[tile * 32 + t] = s[tile][t] + 1;
    }
    ptx::cp_async_wait<0>();
  }
}

__global__ void CopyRefillTooEarly(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  s[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  const int value = s[threadIdx.x ^ 32];
  ptx::cp_async4(&s[threadIdx.x], in);
  ptx::cp_async_commit();
  out[threadIdx.x] = value + 1;
  ptx::cp_async_wait<0>();
}

__global__ void CopyMisaligned(const int* in, int* out) {
  SIMT_SHARED(int4, s, [64]);
  ptx::cp_async16(&s[threadIdx.x], in + 1);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
  out[threadIdx.x] = s[threadIdx.x].x;
}

__global__ void CopyPastTheSource(const int* in, int* out) {
  SIMT_SHARED(int4, s, [64]);
  ptx::cp_async16(&s[threadIdx.x], in + 4 * threadIdx.x);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
  out[threadIdx.x] = s[threadIdx.x].x;
}

__global__ void CopyPastTheDestination(const int* in, int* out) {
  SIMT_SHARED(int4, s, [16]);
  int4* first = s;
  ptx::cp_async16(first + threadIdx.x, in);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
  out[threadIdx.x] = first[threadIdx.x].x;
}

template <void (*kKernel)(const int*, int*)>
void Launch(const int* in, int* out, simt::Stream stream) {
  simt::launch(kKernel, dim3(1), dim3(64), 0, stream, in, out);
}

}  // namespace

const std::vector<Case>& CopyCases() {
  static const std::vector<Case> cases = {
      {"CopyWithoutWait",
       Launch<CopyWithoutWait>,
       {Fault::kCopyInFlight},
       Plain::kWrongValue},
      {"CopyNeverAwaited",
       Launch<CopyNeverAwaited>,
       {Fault::kCopyNotAwaited},
       Plain::kFault},
      {"CopyNotCommitted",
       Launch<CopyNotCommitted>,
       {Fault::kCopyInFlight},
       Plain::kWrongValue},
      {"CopyWaitWithoutBarrier",
       Launch<CopyWaitWithoutBarrier>,
       {Fault::kRace},
       Plain::kWrongValue},
      {"CopyWaitTooLargeOnLastTile",
       Launch<CopyWaitTooLargeOnLastTile>,
       {Fault::kCopyInFlight},
       Plain::kWrongValue},
      {"CopyRefillTooEarly",
       Launch<CopyRefillTooEarly>,
       {Fault::kCopyInFlight, Fault::kRace},
       Plain::kWrongValue},
      {"CopyMisaligned",
       Launch<CopyMisaligned>,
       {Fault::kMisaligned},
       Plain::kFault},
      {"CopyPastTheSource",
       Launch<CopyPastTheSource>,
       {Fault::kDeviceBounds},
       Plain::kFault},
      {"CopyPastTheDestination",
       Launch<CopyPastTheDestination>,
       {Fault::kSharedBounds},
       Plain::kFault},
  };
  return cases;
}

}  // namespace broken
