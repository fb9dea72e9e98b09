#pragma once

#include <string>

#include "kernels/emu/place.h"
#include "kernels/emu/report.h"

namespace simt::emu {

// A text that owns no memory, for the arguments of Fail.
struct FixedText {
  explicit FixedText(const std::string& from);
  char text[512];
};

// From inside a kernel: records the launch's first error and leaves the thread
// for good; nothing on its stack may own memory.
[[noreturn]] void Fail(Fault fault, Place where, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

// The same, if the launch does not tolerate it.
void FailUnlessTolerated(Fault fault, Place where, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

// Of a launch as a whole, from its loop.
void RecordLaunchError(Fault fault, const std::string& message);

// From the host side.
void RecordError(Fault fault, const char* format, ...)
    __attribute__((format(printf, 2, 3)));
bool HasFailed();

}  // namespace simt::emu
