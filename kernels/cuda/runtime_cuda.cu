// The table's services by the CUDA runtime.

#include <cstdio>
#include <cstring>

#include "kernels/cuda/runtime.h"

namespace quatrain::cuda::runtime {
namespace {

thread_local std::string message;

int Check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return kQuatrainOk;
  const int code = error == cudaErrorMemoryAllocation ? kQuatrainOutOfMemory
                   : error == cudaErrorInvalidValue   ? kQuatrainBadArgument
                   : error == cudaErrorNotSupported   ? kQuatrainNotSupported
                                                      : kQuatrainFault;
  cudaGetLastError();  // one that does not stick is answered once
  return Fail(code, std::string(call) + ": " + cudaGetErrorName(error) + ", " +
                        cudaGetErrorString(error));
}

cudaEvent_t ToEvent(QuatrainEvent event) {
  return static_cast<cudaEvent_t>(event);
}

}  // namespace

const int kIsEmulation = 0;

int Fail(int error, std::string text) {
  message = std::move(text);
  return error;
}

const char* Message() { return message.c_str(); }

int CheckLaunch(const char* operation) {
  return Check(cudaGetLastError(), operation);
}

int NumSms() {
  int device = 0, count = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) !=
          cudaSuccess)
    return 1;
  return count;
}

simt::Stream ToStream(QuatrainStream stream) {
  return static_cast<cudaStream_t>(stream);
}

int NumDevices(int* count) {
  return Check(cudaGetDeviceCount(count), "cudaGetDeviceCount");
}

int SetDevice(int device) {
  return Check(cudaSetDevice(device), "cudaSetDevice");
}

namespace {

// cudaMemGetInfo() speaks of the current device.
int MemoryOf(int device, QuatrainDeviceInfo* info) {
  int current = 0;
  cudaGetDevice(&current);
  int error = SetDevice(device);
  if (error != kQuatrainOk) return error;
  error = Check(cudaMemGetInfo(&info->free_bytes, &info->total_bytes),
                "cudaMemGetInfo");
  cudaSetDevice(current);
  return error;
}

}  // namespace

int DeviceInfo(int device, QuatrainDeviceInfo* info) {
  cudaDeviceProp properties;
  const int error = Check(cudaGetDeviceProperties(&properties, device),
                          "cudaGetDeviceProperties");
  if (error != kQuatrainOk) return error;
  *info = {};
  std::snprintf(info->name, sizeof(info->name), "%s", properties.name);
  info->compute_capability = 10 * properties.major + properties.minor;
  info->num_sms = properties.multiProcessorCount;
  info->l2_bytes = properties.l2CacheSize;
  cudaDeviceGetAttribute(&info->clock_khz, cudaDevAttrClockRate, device);
  return MemoryOf(device, info);
}

int Malloc(size_t bytes, void** out) {
  return Check(cudaMalloc(out, bytes), "cudaMalloc");
}
int Free(void* data) { return Check(cudaFree(data), "cudaFree"); }
int MallocPinned(size_t bytes, void** out) {
  return Check(cudaMallocHost(out, bytes), "cudaMallocHost");
}
int FreePinned(void* data) { return Check(cudaFreeHost(data), "cudaFreeHost"); }

int Copy(void* to, const void* from, size_t bytes, QuatrainStream stream) {
  if (bytes == 0) return kQuatrainOk;  // of pointers that may be null
  return Check(
      cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, ToStream(stream)),
      "cudaMemcpyAsync");
}
int Fill(void* to, int byte, size_t bytes, QuatrainStream stream) {
  if (bytes == 0) return kQuatrainOk;
  return Check(cudaMemsetAsync(to, byte, bytes, ToStream(stream)),
               "cudaMemsetAsync");
}

int StreamCreate(QuatrainStream* out) {
  cudaStream_t stream = nullptr;
  const int error =
      Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
            "cudaStreamCreate");
  *out = stream;
  return error;
}
int StreamDestroy(QuatrainStream stream) {
  return Check(cudaStreamDestroy(ToStream(stream)), "cudaStreamDestroy");
}
int StreamSynchronize(QuatrainStream stream) {
  return Check(cudaStreamSynchronize(ToStream(stream)),
               "cudaStreamSynchronize");
}

int EventCreate(QuatrainEvent* out) {
  cudaEvent_t event = nullptr;
  const int error = Check(cudaEventCreate(&event), "cudaEventCreate");
  *out = event;
  return error;
}
int EventDestroy(QuatrainEvent event) {
  return Check(cudaEventDestroy(ToEvent(event)), "cudaEventDestroy");
}
int EventRecord(QuatrainEvent event, QuatrainStream stream) {
  return Check(cudaEventRecord(ToEvent(event), ToStream(stream)),
               "cudaEventRecord");
}
int EventWait(QuatrainEvent event, QuatrainStream stream) {
  return Check(cudaStreamWaitEvent(ToStream(stream), ToEvent(event)),
               "cudaStreamWaitEvent");
}
int EventSynchronize(QuatrainEvent event) {
  return Check(cudaEventSynchronize(ToEvent(event)), "cudaEventSynchronize");
}
int EventElapsedMs(QuatrainEvent begin, QuatrainEvent end, float* ms) {
  return Check(cudaEventElapsedTime(ms, ToEvent(begin), ToEvent(end)),
               "cudaEventElapsedTime");
}

int CaptureBegin(QuatrainStream stream) {
  return Check(cudaStreamBeginCapture(ToStream(stream),
                                      cudaStreamCaptureModeThreadLocal),
               "cudaStreamBeginCapture");
}

int CaptureEnd(QuatrainStream stream, QuatrainGraph* out) {
  cudaGraph_t graph = nullptr;
  int error = Check(cudaStreamEndCapture(ToStream(stream), &graph),
                    "cudaStreamEndCapture");
  if (error != kQuatrainOk) return error;
  cudaGraphExec_t executable = nullptr;
  error = Check(cudaGraphInstantiate(&executable, graph, 0),
                "cudaGraphInstantiate");
  cudaGraphDestroy(graph);
  *out = executable;
  return error;
}

int GraphLaunch(QuatrainGraph graph, QuatrainStream stream) {
  return Check(
      cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), ToStream(stream)),
      "cudaGraphLaunch");
}
int GraphDestroy(QuatrainGraph graph) {
  return Check(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)),
               "cudaGraphExecDestroy");
}

}  // namespace quatrain::cuda::runtime
