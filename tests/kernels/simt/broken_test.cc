#include "tests/kernels/simt/broken.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>

#include "kernels/emu/fiber.h"
#include "tests/kernels/simt/device_array.h"
#include "tests/kernels/simt/runner.h"

namespace {

using broken::Case;
using broken::Plain;
using simt::Fault;

#ifdef SIMT_ASAN
constexpr bool kAsan = true;
#else
constexpr bool kAsan = false;
#endif

// clang's own runtime answers for UBSan, and its loads are narrowed earlier.
#if defined(__clang__)
constexpr bool kUbsanReports = false;
#else
constexpr bool kUbsanReports = true;
#endif

struct Result {
  simt::Report report;
  bool values_right = true;
};

Result RunCase(const Case& c, int numbers) {
  std::vector<int> in(numbers);
  std::iota(in.begin(), in.end(), 100);
  const DeviceArray<int> device_in(in), out(numbers);
  c.launch(device_in.data(), out.data(), nullptr);
  simt::device_synchronize();
  Result result;
  result.report = simt::take_error();
  const auto got = out.Read();
  for (int i = 0; i < 64; ++i)
    if (got[i] != in[i ^ c.distance] + 1) result.values_right = false;
  return result;
}

bool Dies(const Case& c) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    std::fclose(stderr);
    RunCase(c, 64);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status != 0;
}

std::string Names(const std::vector<Fault>& faults) {
  std::string text;
  for (const Fault fault : faults)
    text += (text.empty() ? "" : " or ") + std::string(simt::FaultName(fault));
  return text;
}

void ExpectFault(const Case& c, const Result& result) {
  const bool right =
      std::count(c.faults.begin(), c.faults.end(), result.report.fault) > 0;
  EXPECT_TEXT(right, std::string(c.name) + ": expected " + Names(c.faults) +
                         ", got " + simt::FaultName(result.report.fault) +
                         ": " + result.report.text);
  // A report that names no line of the kernel is half a report.
  if (right && !result.report.ok())
    EXPECT_TEXT(result.report.text.find(".cu:") != std::string::npos,
                "no line in: " + result.report.text);
}

void Test(const Case& c, int numbers = 64) {
  if (kAsan && c.asan_dies) {
    EXPECT_TEXT(Dies(c), std::string(c.name) + ": AddressSanitizer is silent");
    return;
  }
  if (c.ubsan_finds && !kUbsanReports) return;
  const Result result = RunCase(c, numbers);
  if (std::getenv("SIMT_SHOW"))
    std::printf("  %s\n", result.report.text.c_str());
  if (simt::checks_accesses() || c.plain == Plain::kFault ||
      (kAsan && c.ubsan_finds))
    return ExpectFault(c, result);
  EXPECT_TEXT(result.report.ok(), result.report.text);
  if (c.plain == Plain::kWrongValue &&
      simt::current_schedule().order != simt::Order::kRandom)
    EXPECT_TEXT(!result.values_right, std::string(c.name) + ": values right");
}

SIMT_TEST(Barriers) {
  for (const Case& c : broken::BarrierCases()) Test(c);
}
SIMT_TEST(Copies) {
  for (const Case& c : broken::CopyCases()) Test(c);
}
SIMT_TEST(Memory) {
  for (const Case& c : broken::MemoryCases()) Test(c);
}
SIMT_TEST(Blocks) {
  for (const Case& c : broken::BlockCases()) Test(c, 128);
}

}  // namespace

SIMT_TEST_MAIN()
