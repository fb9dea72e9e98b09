#pragma once

#include <string>

#include "kernels/cuda/simt.h"
#include "kernels/cuda/table.h"

// The device's own services, behind the table. Two files implement them: the
// CUDA runtime's in runtime_cuda.cu, the emulated device's in
// kernels/emu/runtime_emu.cc.
namespace quatrain::cuda::runtime {

// Keeps `text` for message() of this thread and returns `error`.
int Fail(int error, std::string text);
const char* Message();

// What a launch or a call left behind on this thread.
int CheckLaunch(const char* operation);

// Of the current device.
int NumSms();

simt::Stream ToStream(QuatrainStream stream);

int NumDevices(int* count);
int SetDevice(int device);
int DeviceInfo(int device, QuatrainDeviceInfo* info);
int Malloc(size_t bytes, void** out);
int Free(void* data);
int MallocPinned(size_t bytes, void** out);
int FreePinned(void* data);
int Copy(void* to, const void* from, size_t bytes, QuatrainStream stream);
int Fill(void* to, int byte, size_t bytes, QuatrainStream stream);
int StreamCreate(QuatrainStream* out);
int StreamDestroy(QuatrainStream stream);
int StreamSynchronize(QuatrainStream stream);
int EventCreate(QuatrainEvent* out);
int EventDestroy(QuatrainEvent event);
int EventRecord(QuatrainEvent event, QuatrainStream stream);
int EventWait(QuatrainEvent event, QuatrainStream stream);
int EventSynchronize(QuatrainEvent event);
int EventElapsedMs(QuatrainEvent begin, QuatrainEvent end, float* ms);
int CaptureBegin(QuatrainStream stream);
int CaptureEnd(QuatrainStream stream, QuatrainGraph* out);
int GraphLaunch(QuatrainGraph graph, QuatrainStream stream);
int GraphDestroy(QuatrainGraph graph);

// y[j, i] = sum over k of w[i, k] * x[j, k], all row-major and without gaps;
// operands f16 or bf16, sums and y f32. The order of the sums is the library's.
struct HalfGemm {
  bool bfloat;
  int rows;    // of w
  int tokens;  // of x
  int k;
  const void* w;
  const void* x;
  float* y;  // [tokens, rows]
  void* workspace;
  size_t workspace_bytes;
};
int MultiplyHalf(const HalfGemm& gemm, QuatrainStream stream);

extern const int kIsEmulation;

}  // namespace quatrain::cuda::runtime
