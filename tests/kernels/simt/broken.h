#pragma once

#include <vector>

#include "kernels/emu/engine.h"

// Kernels with one planted mistake each.
namespace broken {

// What the builds without hooks notice.
enum class Plain {
  kFault,       // the same report
  kWrongValue,  // at least under the schedules forward and reverse
  kNothing,
};

struct Case {
  const char* name;
  // Reads as many numbers as it has threads, in blocks of 64, and writes as
  // many; they have exactly that room.
  void (*launch)(const int* in, int* out, simt::Stream stream);
  // What the check build reports: one of these, by schedule.
  std::vector<simt::Fault> faults;
  Plain plain;
  // Of a sound kernel: out[i] = in[i ^ distance] + 1.
  int distance = 32;
  // What AddressSanitizer (it ends the process) or UBSan find in addition.
  bool asan_dies = false;
  bool ubsan_finds = false;
};

const std::vector<Case>& BarrierCases();
const std::vector<Case>& CopyCases();
const std::vector<Case>& MemoryCases();
const std::vector<Case>& BlockCases();

}  // namespace broken
