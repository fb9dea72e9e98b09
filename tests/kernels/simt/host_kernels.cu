#include "tests/kernels/simt/host_kernels.h"

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"

namespace host {
namespace {

__global__ void AddKernel(int* x, int amount) {
  x[blockIdx.x * blockDim.x + threadIdx.x] += amount;
}

__global__ void MeetKernel(unsigned* count) {
  if (threadIdx.x == 0) {
    ptx::add_release(count, 1);
    while (ptx::load_acquire(count) % gridDim.x != 0) simt::yield();
  }
  __syncthreads();
}

__global__ void DeadlockKernel() {
  if (threadIdx.x / 32 % 2 == 0)
    ptx::named_barrier_sync(1, static_cast<int>(blockDim.x));
}

__global__ void FirstThreadFailsKernel(int* x) {
  if (threadIdx.x == 0) ptx::named_barrier_sync(99, 32);
  x[threadIdx.x] += 1;
}

__global__ void CollideKernel(int* x) {
  if (threadIdx.x == 0) x[0] += 1;
}

}  // namespace

void LaunchAdd(int* x, int amount, int blocks, int threads, size_t shared,
               simt::Stream stream) {
  simt::launch(AddKernel, dim3(blocks), dim3(threads), shared, stream, x,
               amount);
}

bool AllowShared(size_t bytes) {
  return simt::allow_dynamic_shared(AddKernel, bytes);
}

void LaunchMeet(unsigned* count, int blocks, simt::Stream stream) {
  simt::launch(MeetKernel, dim3(blocks), dim3(64), 0, stream, count);
}

void LaunchDeadlock(int threads, simt::Stream stream) {
  simt::launch(DeadlockKernel, dim3(1), dim3(threads), 0, stream);
}

void LaunchFirstThreadFails(int* x, int threads, simt::Stream stream) {
  simt::launch(FirstThreadFailsKernel, dim3(1), dim3(threads), 0, stream, x);
}

void LaunchCollide(int* x, simt::Stream stream) {
  simt::launch(CollideKernel, dim3(2), dim3(32), 0, stream, x);
}

}  // namespace host
