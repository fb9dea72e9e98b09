#include "kernels/emu/fail.h"

#include <cstdarg>
#include <cstdio>
#include <string>

#include "kernels/emu/checks.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/symbols.h"
#include "kernels/emu/threads.h"

namespace simt {
namespace emu {
namespace {

constexpr int kMessageBytes = 4096;

std::string Triple(unsigned x, unsigned y, unsigned z) {
  return "(" + std::to_string(x) + "," + std::to_string(y) + "," +
         std::to_string(z) + ")";
}

std::string ThreadText(const Lane& lane) {
  const uint3& b = lane.view.block_idx;
  const uint3& t = lane.view.thread_idx;
  return "block " + Triple(b.x, b.y, b.z) + " thread " + Triple(t.x, t.y, t.z) +
         " (warp " + std::to_string(lane.warp) + " lane " +
         std::to_string(lane.lane) + ")";
}

void RecordInKernel(Fault fault, Place where, const char* message) {
  Machine& machine = TheMachine();
  machine.failed = true;
  if (!machine.report.ok()) return;
  Report& report = machine.report;
  report.fault = fault;
  report.kernel = FunctionName(machine.launch->kernel);
  report.text = report.kernel + ": ";
  if (const Lane* lane = CurrentLane()) {
    report.block = static_cast<int>(lane->cta->index);
    report.thread = lane->linear();
    report.text += ThreadText(*lane) + ": ";
  }
  report.text += message;
  if (where.line > 0) {
    report.file = where.file;
    report.line = where.line;
    report.text +=
        std::string(", at ") + where.file + ":" + std::to_string(where.line);
  }
  report.text += std::string(" [") + FaultName(fault) + ", launch " +
                 std::to_string(machine.launch_number) +
                 ", SIMT_SCHEDULE=" + to_string(machine.schedule) + "]";
}

}  // namespace

FixedText::FixedText(const std::string& from) {
  std::snprintf(text, sizeof(text), "%s", from.c_str());
}

void Fail(Fault fault, Place where, const char* format, ...) {
  const HooksOff off;
  char message[kMessageBytes];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof(message), format, arguments);
  va_end(arguments);
  RecordInKernel(fault, where, message);
  LeaveForGood();
}

void FailUnlessTolerated(Fault fault, Place where, const char* format, ...) {
  if (TheMachine().tolerated.count(fault) > 0) return;
  const HooksOff off;
  char message[kMessageBytes];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof(message), format, arguments);
  va_end(arguments);
  RecordInKernel(fault, where, message);
  LeaveForGood();
}

void RecordLaunchError(Fault fault, const std::string& message) {
  RecordInKernel(fault, {}, message.c_str());
}

void RecordError(Fault fault, const char* format, ...) {
  char message[kMessageBytes];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof(message), format, arguments);
  va_end(arguments);
  Machine& machine = TheMachine();
  if (!machine.report.ok()) return;
  machine.report.fault = fault;
  machine.report.text = std::string(message) + " [" + FaultName(fault) + "]";
}

bool HasFailed() { return !TheMachine().report.ok(); }

}  // namespace emu

const char* FaultName(Fault fault) {
  static constexpr const char* kNames[] = {"no fault",
                                           "bad launch",
                                           "bad call",
                                           "divergence",
                                           "mask without self",
                                           "exited lane",
                                           "barrier count",
                                           "deadlock",
                                           "deadlock between blocks",
                                           "stack overflow",
                                           "misaligned",
                                           "undefined behaviour",
                                           "shared bounds",
                                           "shared too small",
                                           "device bounds",
                                           "wild pointer",
                                           "unwritten read",
                                           "race",
                                           "copy in flight",
                                           "copy not awaited",
                                           "block collision",
                                           "read-only data written",
                                           "mbarrier",
                                           "proxy fence",
                                           "accumulator in flight"};
  return kNames[static_cast<int>(fault)];
}

Report last_error() {
  emu::Machine& machine = emu::TheMachine();
  const std::lock_guard lock(machine.mutex);
  return machine.report;
}

Report take_error() {
  emu::Machine& machine = emu::TheMachine();
  const std::lock_guard lock(machine.mutex);
  return std::exchange(machine.report, {});
}

void clear_error() { take_error(); }

}  // namespace simt
