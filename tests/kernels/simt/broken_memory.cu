#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"
#include "tests/kernels/simt/broken.h"

namespace broken {
namespace {

using simt::Fault;

__global__ void SharedOverflow(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  int* first = s;
  first[threadIdx.x + 1] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = in[threadIdx.x ^ 32] + 1;
}

constexpr size_t kTileBytes = 64 * sizeof(int);
constexpr size_t kTwoTiles = 2 * (kTileBytes + simt::kRedzone);

__global__ void TileOverflow(const int* in, int* out) {
  SIMT_DYNAMIC_SHARED(arena);
  auto* a = reinterpret_cast<int*>(arena);
  auto* b = reinterpret_cast<int*>(arena + kTileBytes + simt::kRedzone);
  simt::carve(a, kTileBytes);
  simt::carve(b, kTileBytes);
  a[threadIdx.x + 1] = in[threadIdx.x];
  b[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = b[threadIdx.x ^ 32] + 1;
}

__global__ void TooLittleShared(const int* in, int* out) {
  SIMT_DYNAMIC_SHARED(arena);
  auto* a = reinterpret_cast<int*>(arena);
  simt::carve(a, kTwoTiles);
  a[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = a[threadIdx.x ^ 32] + 1;
}

__global__ void DeviceOverflowRead(const int* in, int* out) {
  const int next = in[threadIdx.x + 1];
  out[threadIdx.x] = in[threadIdx.x ^ 32] + (next == 12345 ? 2 : 1);
}

__global__ void DeviceOverflowWrite(const int* in, int* out) {
  out[threadIdx.x + 1] = 0;
  __syncthreads();
  out[threadIdx.x] = in[threadIdx.x ^ 32] + 1;
}

__global__ void MisalignedVector(const int* in, int* out) {
  const int4 four = *reinterpret_cast<const int4*>(in + 1);
  out[threadIdx.x] = in[threadIdx.x ^ 32] + (four.x + four.y == 12345 ? 2 : 1);
}

__global__ void UnwrittenShared(const int* in, int* out) {
  SIMT_SHARED(int, s, [64]);
  if (threadIdx.x != 17) s[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x ^ 32] + 1;
}

__global__ void HostPointer(const int* in, int* out, const int* host) {
  out[threadIdx.x] = in[threadIdx.x ^ 32] + host[0];
}

__global__ void Shift(const int* in, int* out, int by) {
  out[threadIdx.x] =
      in[threadIdx.x ^ 32] + 1 + static_cast<int>(1u << by == 77u);
}

__global__ void ArrayIndex(const int* in, int* out, int n) {
  int small[4] = {1, 1, 1, 1};
  for (int i = 0; i < n; ++i) small[i % 4] += i;
  out[threadIdx.x] = in[threadIdx.x ^ 32] + small[n + 4];
}

__global__ void ReadOnlyWritten(const int* in, int* out) {
  out[threadIdx.x] = in[threadIdx.x ^ 32];
  out[threadIdx.x] = __ldg(out + threadIdx.x) + 1;
}

template <void (*kKernel)(const int*, int*), size_t kSharedBytes = 0>
void Launch(const int* in, int* out, simt::Stream stream) {
  simt::launch(kKernel, dim3(1), dim3(64), kSharedBytes, stream, in, out);
}

void LaunchHostPointer(const int* in, int* out, simt::Stream stream) {
  static std::vector<int> host = {1};  // on the heap
  simt::launch(HostPointer, dim3(1), dim3(64), 0, stream, in, out, host.data());
}

void LaunchShift(const int* in, int* out, simt::Stream stream) {
  simt::launch(Shift, dim3(1), dim3(64), 0, stream, in, out, 40);
}

void LaunchArrayIndex(const int* in, int* out, simt::Stream stream) {
  simt::launch(ArrayIndex, dim3(1), dim3(64), 0, stream, in, out, 1);
}

}  // namespace

const std::vector<Case>& MemoryCases() {
  static const std::vector<Case> cases = {
      {"SharedOverflow",
       Launch<SharedOverflow>,
       {Fault::kSharedBounds},
       Plain::kNothing,
       32,
       true},
      {"TileOverflow",
       Launch<TileOverflow, kTwoTiles>,
       {Fault::kSharedBounds},
       Plain::kNothing,
       32,
       true},
      {"TooLittleShared",
       Launch<TooLittleShared, kTileBytes>,
       {Fault::kSharedTooSmall},
       Plain::kFault},
      {"DeviceOverflowRead",
       Launch<DeviceOverflowRead>,
       {Fault::kDeviceBounds},
       Plain::kNothing,
       32,
       true},
      {"DeviceOverflowWrite",
       Launch<DeviceOverflowWrite>,
       {Fault::kDeviceBounds},
       Plain::kNothing,
       32,
       true},
      {"MisalignedVector",
       Launch<MisalignedVector>,
       {Fault::kMisaligned},
       Plain::kNothing,
       32,
       false,
       true},
      {"UnwrittenShared",
       Launch<UnwrittenShared>,
       {Fault::kUnwrittenRead},
       Plain::kWrongValue},
      {"HostPointer",
       LaunchHostPointer,
       {Fault::kWildPointer},
       Plain::kNothing},
      {"Shift",
       LaunchShift,
       {Fault::kUndefined},
       Plain::kNothing,
       32,
       false,
       true},
      {"ArrayIndex",
       LaunchArrayIndex,
       {Fault::kUndefined},
       Plain::kNothing,
       32,
       false,
       true},
      {"ReadOnlyWritten",
       Launch<ReadOnlyWritten>,
       {Fault::kReadOnlyWritten},
       Plain::kNothing},
  };
  return cases;
}

}  // namespace broken
