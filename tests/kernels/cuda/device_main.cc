#include "tests/kernels/cuda/device.h"
#include "tests/kernels/simt/runner.h"

// main() of the kernel tests on a real device. Without one they exit with 77,
// which CTest is told means that they skipped.
int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  const bool list = argc > 1 && std::strcmp(argv[1], "--list") == 0;
  int devices = 0;
  if (!list &&
      (quatrain::Cuda().num_devices(&devices) != kQuatrainOk || devices == 0)) {
    std::printf("Skipped: no GPU (%s)\n", quatrain::Cuda().message());
    return kSkipped;
  }
  return runner::Main(argc, argv);
}
