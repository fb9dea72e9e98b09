#include <memory>

#include "tools/bench_kernel.h"
#include "tools/command.h"

namespace quatrain {

RunCommand AddBenchKernel(CLI::App& app) {
  auto options = std::make_shared<BenchKernelOptions>();
  app.add_option("--threads", options->threads, "0: one per core");
  app.add_option("--isa", options->isa, "force an instruction set");
  app.add_option("--rows", options->rows, "of the input; default 1 4 16 64 512")
      ->delimiter(',');
  app.add_option("--shapes", options->shapes,
                 "qkv, o, up, down of Llama-2-7B, or INPUTSxOUTPUTS")
      ->delimiter(',');
  app.add_option("-o,--output", options->output, "md, csv or json")
      ->check(CLI::IsMember({"md", "csv", "json"}));
  return [options] { return BenchKernel(*options); };
}

}  // namespace quatrain
