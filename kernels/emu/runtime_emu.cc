// The table's services by the emulated device.

#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/runtime.h"
#include "kernels/emu/engine.h"

namespace quatrain::cuda::runtime {
namespace {

constexpr int kSms = 4;  // few, so that blocks that stay take several tiles
constexpr size_t kDeviceBytes = size_t{8} << 30;

thread_local std::string message;

int Check(simt::Fault fault) {
  if (fault == simt::Fault::kNone) return kQuatrainOk;
  const simt::Report report = simt::last_error();
  return Fail(kQuatrainFault, report.text);
}

// A graph is shared by its owner and its launches that have not run.
simt::Graph* ToGraph(QuatrainGraph graph) {
  return static_cast<simt::Graph*>(graph);
}

simt::Event ToEvent(QuatrainEvent event) {
  return static_cast<simt::Event>(event);
}

}  // namespace

const int kIsEmulation = 1;

int Fail(int error, std::string text) {
  message = std::move(text);
  return error;
}

const char* Message() { return message.c_str(); }

int CheckLaunch(const char*) { return Check(simt::last_error().fault); }

int NumSms() { return kSms; }

simt::Stream ToStream(QuatrainStream stream) {
  return static_cast<simt::Stream>(stream);
}

int NumDevices(int* count) {
  *count = 1;
  return kQuatrainOk;
}

int SetDevice(int device) {
  if (device == 0) return kQuatrainOk;
  return Fail(kQuatrainBadArgument, "the emulated device is number 0");
}

int DeviceInfo(int device, QuatrainDeviceInfo* info) {
  *info = {};
  std::snprintf(info->name, sizeof(info->name), "emulated on the CPU");
  info->compute_capability = 90;
  info->num_sms = kSms;
  info->total_bytes = info->free_bytes = kDeviceBytes;
  info->l2_bytes = size_t{50} << 20;
  return SetDevice(device);
}

int Malloc(size_t bytes, void** out) {
  *out = simt::device_malloc(bytes);
  if (*out != nullptr || bytes == 0) return kQuatrainOk;
  return Fail(kQuatrainOutOfMemory,
              "no memory for " + std::to_string(bytes) + " bytes");
}
int Free(void* data) {
  simt::device_free(data);
  return Check(simt::last_error().fault);
}
int MallocPinned(size_t bytes, void** out) {
  *out = std::malloc(bytes);
  return kQuatrainOk;
}
int FreePinned(void* data) {
  std::free(data);
  return kQuatrainOk;
}

int Copy(void* to, const void* from, size_t bytes, QuatrainStream stream) {
  simt::memcpy_async(to, from, bytes, ToStream(stream));
  return kQuatrainOk;
}
int Fill(void* to, int byte, size_t bytes, QuatrainStream stream) {
  simt::memset_async(to, byte, bytes, ToStream(stream));
  return kQuatrainOk;
}

int StreamCreate(QuatrainStream* out) {
  *out = simt::create_stream();
  return kQuatrainOk;
}
int StreamDestroy(QuatrainStream stream) {
  simt::destroy_stream(ToStream(stream));
  return Check(simt::last_error().fault);
}
int StreamSynchronize(QuatrainStream stream) {
  return Check(simt::stream_synchronize(ToStream(stream)));
}

int EventCreate(QuatrainEvent* out) {
  *out = simt::create_event();
  return kQuatrainOk;
}
int EventDestroy(QuatrainEvent event) {
  simt::destroy_event(ToEvent(event));
  return kQuatrainOk;
}
int EventRecord(QuatrainEvent event, QuatrainStream stream) {
  simt::event_record(ToEvent(event), ToStream(stream));
  return kQuatrainOk;
}
int EventWait(QuatrainEvent event, QuatrainStream stream) {
  simt::stream_wait_event(ToStream(stream), ToEvent(event));
  return kQuatrainOk;
}
int EventSynchronize(QuatrainEvent event) {
  return Check(simt::event_synchronize(ToEvent(event)));
}
int EventElapsedMs(QuatrainEvent, QuatrainEvent, float* ms) {
  *ms = 0.0f;
  return Fail(kQuatrainNotSupported, "the emulated device has no clock");
}

int CaptureBegin(QuatrainStream stream) {
  simt::begin_capture(ToStream(stream));
  return kQuatrainOk;
}
int CaptureEnd(QuatrainStream stream, QuatrainGraph* out) {
  *out = new simt::Graph(simt::end_capture(ToStream(stream)));
  return kQuatrainOk;
}
int GraphLaunch(QuatrainGraph graph, QuatrainStream stream) {
  simt::launch_graph(*ToGraph(graph), ToStream(stream));
  return kQuatrainOk;
}
int GraphDestroy(QuatrainGraph graph) {
  delete ToGraph(graph);
  return kQuatrainOk;
}

}  // namespace quatrain::cuda::runtime
