#pragma once

#include <string>
#include <vector>

#include "tests/kernels/cuda/bench/bench.h"

// The table of the benchmark, and the same as JSON.
namespace quatrain::bench {

// Of the machine, as it was found.
struct Machine {
  std::string driver;
  int cuda = 0;                     // as CudaVersion()
  std::string cublas;               // its version, or empty
  std::string date;                 // UTC
  std::vector<std::string> clocks;  // nvidia-smi's answers, first to last
};

void PrintMachine(const Bench& bench, const Machine& machine);
void PrintHead(const std::string& group);
void PrintRow(const Bench& bench, const Row& row);

// What was wanted and what was reached; the fastest kernel of every shape.
void PrintTargets(const Bench& bench);
void PrintChoice(const Bench& bench);
// How much longer the exact kernels take where the default mode has others.
void PrintSlowdown(const Bench& bench);

// False, after a line that says why, where it cannot be written.
bool WriteJson(const Bench& bench, const Machine& machine);

}  // namespace quatrain::bench
