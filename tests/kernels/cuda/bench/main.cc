// bench_cuda_kernels: how fast the kernels are on this device, beside what its
// memory and its arithmetic allow and beside cuBLAS in f16.
//
//   bench_cuda_kernels [--quick | --smoke] [--json FILE] [--only GROUP]
//                      [--seconds S] [--commit TEXT]
//
// --quick: fewer counts of tokens and no int8, below a minute. --smoke: tiny
// shapes, every entry runs once and nothing is timed; the only mode of the
// emulated device. --seconds: when they are over, what is left is measured with
// few repetitions. Exits with 0; 1 where results were wrong or a call failed, 2
// where the arguments are, 77 without a device.

#include <cstring>
#include <ctime>

#include "tests/kernels/cuda/bench/groups.h"
#include "tests/kernels/cuda/bench/kernels.h"
#include "tests/kernels/cuda/bench/report.h"

namespace quatrain::bench {
namespace {

constexpr double kFullSeconds = 170, kQuickSeconds = 40;
constexpr int kSkipped = 77;

// False where there is something that nobody understands.
bool Parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--quick" || flag == "--smoke") {
      (flag == "--quick" ? options.quick : options.smoke) = true;
      continue;
    }
    if (++i == argc) return false;
    if (flag == "--json")
      options.json = argv[i];
    else if (flag == "--commit")
      options.commit = argv[i];
    else if (flag == "--only")
      options.only = argv[i];
    else if (flag == "--seconds")
      options.seconds = std::atof(argv[i]);
    else
      return false;
  }
  if (options.seconds <= 0)
    options.seconds = options.quick ? kQuickSeconds : kFullSeconds;
  if (options.commit.empty()) options.commit = "unknown";
  return !(options.quick && options.smoke);
}

// The first line that nvidia-smi answers, or empty.
std::string AskNvidiaSmi(const std::string& query) {
  const std::string command =
      "nvidia-smi -i 0 --query-gpu=" + query + " --format=csv,noheader 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  char line[512] = "";
  const bool any = std::fgets(line, sizeof(line), pipe) != nullptr;
  const bool ok = pclose(pipe) == 0 && any;
  line[std::strcspn(line, "\n")] = '\0';
  return ok ? line : "";
}

void NoteClocks(const char* when, Machine& machine) {
  const std::string answer =
      AskNvidiaSmi("clocks.sm,clocks.mem,temperature.gpu,power.draw,pstate");
  machine.clocks.push_back(std::string(when) + ": " +
                           (answer.empty() ? "not known" : answer));
  std::printf("clocks, memory, C, power %s\n", machine.clocks.back().c_str());
  std::fflush(stdout);
}

std::string Date() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%MZ", std::gmtime(&now));
  return text;
}

bool Wanted(const Options& options, const Group& group) {
  return std::strstr(group.name, options.only.c_str()) != nullptr;
}

int Run(const Options& options, const QuatrainDeviceInfo& device) {
  QuatrainStream stream = nullptr;
  CudaOk(Cuda().stream_create(&stream), "stream_create");
  const bool emulated = Cuda().is_emulation != 0;
  std::unique_ptr<Cublas> cublas = emulated ? nullptr : Cublas::Open(stream);
  Machine machine{emulated ? "none" : AskNvidiaSmi("driver_version"),
                  CudaVersion(),
                  cublas ? cublas->version() : "",
                  Date(),
                  {}};
  Ceilings ceilings = SpecOf(device);
  {
    Bench ceiling_bench(options, device, stream, ceilings);
    if (!emulated) NoteClocks("at start", machine);
    MeasureCeilings(ceiling_bench, cublas.get(), ceilings);
    if (ceiling_bench.num_wrong() > 0) return 1;
  }
  Bench bench(options, device, stream, ceilings);
  PrintMachine(bench, machine);
  if (options.quick)
    std::printf("--quick leaves out: int8, and most counts of tokens.\n");
  bool written = true;
  for (const Group& group : kGroups) {
    if (!Wanted(options, group)) continue;
    group.run(bench, cublas.get());
    // Before what is idle cools down.
    if (!emulated)
      NoteClocks((std::string("after ") + group.name).c_str(), machine);
    written = WriteJson(bench, machine);  // what there is, should it end here
  }
  if (!options.smoke) {
    PrintChoice(bench);
    PrintSlowdown(bench);
    PrintTargets(bench);
  }
  std::printf("%zu rows in %.0f s, %d wrong results\n", bench.rows().size(),
              bench.Seconds(), bench.num_wrong());
  cublas.reset();
  CudaOk(Cuda().stream_destroy(stream), "stream_destroy");
  if (bench.rows().empty())
    std::fprintf(stderr, "no group has '%s' in its name\n",
                 options.only.c_str());
  return bench.num_wrong() > 0 || bench.rows().empty() || !written ? 1 : 0;
}

int Main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "bench_cuda_kernels [--quick | --smoke] [--json FILE] "
                 "[--only GROUP] [--seconds S] [--commit TEXT]\n");
    return 2;
  }
  int devices = 0;
  if (Cuda().num_devices(&devices) != kQuatrainOk || devices == 0) {
    std::printf("Skipped: no GPU (%s)\n", Cuda().message());
    return kSkipped;
  }
  if (Cuda().is_emulation != 0 && !options.smoke) {
    std::fprintf(stderr, "the emulated device has no clock: --smoke\n");
    return 2;
  }
  QuatrainDeviceInfo device;
  CudaOk(Cuda().set_device(0), "set_device");
  CudaOk(Cuda().device_info(0, &device), "device_info");
  return Run(options, device);
}

}  // namespace
}  // namespace quatrain::bench

int main(int argc, char** argv) { return quatrain::bench::Main(argc, argv); }
