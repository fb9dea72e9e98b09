#include "tests/kernels/simt/hopper.h"

#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/emu/engine.h"
#include "tests/kernels/simt/device_array.h"
#include "tests/kernels/simt/runner.h"

namespace {

using hopper::BulkMistake;
using hopper::Mistake;
using simt::Fault;

std::vector<__half> SmallIntegers(size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<__half> values(n);
  for (__half& v : values)
    v = __float2half(static_cast<float>(random() % 9) - 4);
  return values;
}

// Small integers: every order of the sums is exact.
void TestGemm(int m, int n, int k, bool from_registers) {
  const auto a = SmallIntegers(size_t(m) * k, 1);
  const auto b = SmallIntegers(size_t(n) * k, 2);
  const DeviceArray<__half> da(a), db(b);
  const DeviceArray<float> dc(size_t(m) * n);
  EXPECT(hopper::LaunchGemm(da.data(), db.data(), dc.data(), m, n, k,
                            from_registers, nullptr));
  const auto c = dc.Read();
  const simt::Report report = simt::take_error();
  EXPECT_TEXT(report.ok(), report.text);
  int wrong = 0;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      float sum = 0;
      for (int l = 0; l < k; ++l)
        sum += __half2float(a[size_t(i) * k + l]) *
               __half2float(b[size_t(j) * k + l]);
      wrong += !(c[size_t(i) * n + j] == sum);
    }
  EXPECT_EQ(wrong, 0);
}

SIMT_TEST(GemmOfOneTile) { TestGemm(64, 64, 64, false); }
SIMT_TEST(GemmWithEveryTail) { TestGemm(100, 70, 232, false); }
SIMT_TEST(GemmOfOneRow) { TestGemm(1, 64, 128, false); }
SIMT_TEST(GemmFromRegisters) { TestGemm(100, 70, 232, true); }

struct Outcome {
  Fault fault;
  bool right;
};

Outcome SmallWgmma(Mistake mistake) {
  const auto a = SmallIntegers(64 * 16, 3);
  const auto b = SmallIntegers(8 * 16, 4);
  const DeviceArray<__half> da(a), db(b);
  const DeviceArray<float> dc(512);
  hopper::LaunchSmallWgmma(mistake, da.data(), db.data(), dc.data(), nullptr);
  simt::device_synchronize();
  const Fault fault = simt::take_error().fault;
  const auto c = dc.Read();
  bool right = true;
  for (int t = 0; t < 128; ++t)
    for (int e = 0; e < 4; ++e) {
      const int row = t / 32 * 16 + t % 32 / 4 + 8 * (e / 2);
      const int column = 2 * (t % 4) + e % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k)
        sum += __half2float(a[row * 16 + k]) * __half2float(b[column * 16 + k]);
      right = right && c[4 * t + e] == sum;
    }
  return {fault, right};
}

SIMT_TEST(SmallWgmma) {
  const Outcome outcome = SmallWgmma(Mistake::kNone);
  EXPECT(outcome.fault == Fault::kNone);
  EXPECT(outcome.right);
}

SIMT_TEST(WgmmaMistakes) {
  EXPECT(!SmallWgmma(Mistake::kReadBeforeWait).right);
  EXPECT(SmallWgmma(Mistake::kNotAwaited).fault == Fault::kAsyncAccumulator);
  const Fault no_barrier = SmallWgmma(Mistake::kNoBarrier).fault;
  if (!simt::checks_accesses()) return;
  EXPECT(SmallWgmma(Mistake::kNoProxyFence).fault == Fault::kProxyFence);
  EXPECT(no_barrier == Fault::kRace || no_barrier == Fault::kUnwrittenRead);
}

Fault Bulk(BulkMistake mistake, bool* right) {
  std::vector<int> in(64);
  std::iota(in.begin(), in.end(), 3);
  const DeviceArray<int> device_in(in), out(64);
  hopper::LaunchBulk(mistake, device_in.data(), out.data(), nullptr);
  simt::device_synchronize();
  const simt::Report report = simt::take_error();
  const Fault fault = report.fault;
  if (std::getenv("SIMT_SHOW")) std::printf("  %s\n", report.text.c_str());
  *right = out.Read() == in;
  return fault;
}

SIMT_TEST(BulkCopy) {
  bool right = false;
  EXPECT(Bulk(BulkMistake::kNone, &right) == Fault::kNone);
  EXPECT(right);
}

SIMT_TEST(BulkMistakes) {
  bool right = false;
  const bool checks = simt::checks_accesses();
  EXPECT(Bulk(BulkMistake::kNoInit, &right) == Fault::kMbarrier);
  EXPECT(Bulk(BulkMistake::kTooManyArrivals, &right) == Fault::kMbarrier);
  EXPECT(Bulk(BulkMistake::kNoWait, &right) ==
         (checks ? Fault::kCopyInFlight : Fault::kCopyNotAwaited));
  EXPECT(Bulk(BulkMistake::kWrongParity, &right) ==
         (checks ? Fault::kCopyInFlight : Fault::kCopyNotAwaited));
  EXPECT(!right);
  EXPECT(Bulk(BulkMistake::kTooFewBytes, &right) == Fault::kBlockDeadlock);
  EXPECT(Bulk(BulkMistake::kMisaligned, &right) == Fault::kMisaligned);
}

}  // namespace

SIMT_TEST_MAIN()
