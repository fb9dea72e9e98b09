#include "tests/kernels/cuda/bench/ceilings.h"

#include <algorithm>
#include <cstring>

#include "tests/kernels/cuda/bench/bench.h"
#include "tests/kernels/cuda/bench/cublas.h"
#include "tests/kernels/cuda/bench/kernels.h"

namespace quatrain::bench {
namespace {

// Data sheets; dense f16 with f32 sums. The first name that fits counts.
struct Sheet {
  const char* name;
  double terabytes, teraflops;
};
constexpr Sheet kSheets[] = {
    {"H200", 4.8, 989},   {"H100 PCIe", 2.0, 756},     {"H100 NVL", 3.9, 835},
    {"H100", 3.35, 989},  {"A100-SXM4-80", 2.04, 312}, {"A100", 1.555, 312},
    {"4090", 1.008, 165}, {"L40S", 0.864, 362},        {"L4", 0.3, 121},
    {"A10", 0.6, 125},    {"3090", 0.936, 71},
};

// f16 operations of a multiprocessor and clock, f32 sums.
double TensorPerClock(int compute_capability) {
  switch (compute_capability) {
    case 80:
      return 2048;
    case 90:
      return 4096;
    default:
      return 512;  // consumer chips: half of their f16 sums
  }
}

double MeasureRead(Bench& bench, Ceilings& ceilings) {
  const bool smoke = bench.options().smoke;
  const int64_t bytes = smoke ? 1 << 18 : int64_t{1} << 30;
  const DeviceArray<uint16_t> data(bytes / 2);
  LaunchFillF16(data.data(), bytes / 2, 1.0f, 1, bench.stream());
  double best = 0;
  for (const int per_sm : {2, 4, 8})
    for (const int loads : {4, 8, 16}) {
      const int blocks = per_sm * bench.device().num_sms;
      const DeviceArray<uint32_t> sums(static_cast<size_t>(blocks) *
                                       kReadThreads);
      CudaOk(Cuda().fill(sums.data(), 0xff, sums.bytes(), bench.stream()),
             "fill");
      const Times times = bench.Measure(
          [&](int) {
            LaunchRead(data.data(), bytes, loads, blocks, sums.data(),
                       bench.stream());
          },
          1);
      // The kernels of this file have no table that would say what failed.
      const std::vector<uint32_t> read = sums.Download();
      if (std::all_of(read.begin(), read.end(),
                      [](uint32_t sum) { return sum == ~0u; }))
        bench.Wrong("the reading kernel did not run");
      if (smoke) continue;
      const double rate = bytes / (times.median * 1e-6);
      if (rate <= best) continue;
      best = rate;
      ceilings.read_shape = std::to_string(per_sm) + " blocks of " +
                            std::to_string(kReadThreads) +
                            " threads per multiprocessor, " +
                            std::to_string(loads) + " loads";
    }
  return best;
}

double MeasureCopy(Bench& bench) {
  const bool smoke = bench.options().smoke;
  const int64_t bytes = smoke ? 1 << 16 : int64_t{1} << 30;
  const DeviceArray<uint16_t> from(bytes / 2), to(bytes / 2);
  LaunchFillF16(from.data(), bytes / 2, 1.0f, 2, bench.stream());
  const Times times = bench.Measure(
      [&](int) {
        CudaOk(Cuda().copy(to.data(), from.data(), bytes, bench.stream()),
               "copy");
      },
      1);
  return smoke ? 0 : 2.0 * bytes / (times.median * 1e-6);
}

double MeasureF16(Bench& bench, Cublas& cublas) {
  const int n = bench.options().smoke ? 256 : 8192;
  const size_t size = static_cast<size_t>(n) * n;
  const DeviceArray<uint16_t> x(size), w(size), y(size);
  LaunchFillF16(x.data(), size, 1.0f, 3, bench.stream());
  LaunchFillF16(w.data(), size, 1.0f, 4, bench.stream());
  const Times times = bench.Measure(
      [&](int) { cublas.Gemm(n, n, n, x.data(), w.data(), y.data()); }, 1);
  return bench.options().smoke ? 0 : 2.0 * n * n * n / (times.median * 1e-6);
}

}  // namespace

double Ceilings::rate(Unit unit) const {
  const double tensor = f16 > 0 ? f16 : spec_f16;
  return unit == Unit::kF32          ? f32
         : unit == Unit::kTensorInt8 ? 2 * tensor
                                     : tensor;
}

Ceilings SpecOf(const QuatrainDeviceInfo& device) {
  Ceilings ceilings;
  const double clocks = 1e3 * device.clock_khz * device.num_sms;
  ceilings.f32 = clocks * 256;
  ceilings.spec_f16 = clocks * TensorPerClock(device.compute_capability);
  for (const Sheet& sheet : kSheets) {
    if (std::strstr(device.name, sheet.name) == nullptr) continue;
    ceilings.spec_bandwidth = sheet.terabytes * 1e12;
    ceilings.spec_f16 = sheet.teraflops * 1e12;
    break;
  }
  return ceilings;
}

void MeasureCeilings(Bench& bench, Cublas* cublas, Ceilings& ceilings) {
  ceilings.read = MeasureRead(bench, ceilings);
  ceilings.copy = MeasureCopy(bench);
  if (cublas != nullptr) ceilings.f16 = MeasureF16(bench, *cublas);
}

}  // namespace quatrain::bench
