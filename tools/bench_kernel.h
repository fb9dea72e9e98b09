#pragma once

#include <string>
#include <vector>

namespace quatrain {

// quatrain bench kernel
struct BenchKernelOptions {
  int threads = 0;        // 0 = one per core
  std::string isa;        // as --isa of serve
  std::vector<int> rows;  // empty = 1, 4, 16, 64, 512
  // Names (qkv, o, up, down of Llama-2-7B) or INPUTSxOUTPUTS, such as
  // 4096x11008; empty = the four names.
  std::vector<std::string> shapes;
  std::string output;  // "" = table, md, csv or json
};

// Times the int4 product of every shape at every number of rows, over weights
// that no cache holds, and a plain parallel read of the same memory beside it.
// Prints one table to stdout; returns the process's exit code: 0, or 2 for an
// option that is wrong, with a message on stderr.
int BenchKernel(const BenchKernelOptions& options);

}  // namespace quatrain
