#include "tests/kernels/simt/sound.h"

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/emu/engine.h"
#include "tests/kernels/simt/device_array.h"
#include "tests/kernels/simt/runner.h"

namespace {

void ExpectNoError() {
  simt::device_synchronize();
  const simt::Report report = simt::take_error();
  EXPECT_TEXT(report.ok(), report.text);
}

std::vector<__half> RandomHalves(size_t n, std::mt19937& random) {
  std::uniform_real_distribution<float> values(-1, 1);
  std::vector<__half> result(n);
  for (__half& h : result) h = __float2half(values(random));
  return result;
}

// ||out - ref|| / ||ref|| against float64; NaN fails.
void TestGemm(int m, int n, int k) {
  std::mt19937 random(m * 131 + n * 17 + k);
  const auto a = RandomHalves(size_t(m) * k, random);
  const auto b = RandomHalves(size_t(n) * k, random);
  const DeviceArray<__half> da(a), db(b);
  const DeviceArray<float> dc(size_t(m) * n);
  sound::LaunchGemm(da.data(), db.data(), dc.data(), m, n, k, nullptr);
  const auto c = dc.Read();
  ExpectNoError();
  double error = 0, norm = 0;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int l = 0; l < k; ++l)
        sum += double(__half2float(a[size_t(i) * k + l])) *
               __half2float(b[size_t(j) * k + l]);
      error += std::pow(c[size_t(i) * n + j] - sum, 2);
      norm += sum * sum;
    }
  EXPECT(std::sqrt(error) <= 1e-5 * std::sqrt(norm));
}

SIMT_TEST(GemmOfTileSize) { TestGemm(32, 16, 32); }
SIMT_TEST(GemmWithEveryTail) { TestGemm(45, 27, 104); }
SIMT_TEST(GemmOfOneRow) { TestGemm(1, 40, 64); }

SIMT_TEST(GemmHasNoBankConflicts) {
  simt::take_counters();
  TestGemm(64, 32, 64);
  const simt::LaunchCounters counters = simt::take_counters();
  EXPECT_EQ(counters.launches, 1u);
  EXPECT_EQ(counters.blocks, 4u);
  EXPECT_EQ(counters.mma_f16, 4u * 2 * 4 * 2);
  EXPECT_EQ(counters.ldmatrix_passes, counters.ldmatrix_minimum);
  EXPECT_EQ(counters.ldmatrix_minimum, 4u * 2 * 4 * 8);
}

SIMT_TEST(LastBlockSums) {
  std::vector<int> in(10000);
  std::iota(in.begin(), in.end(), -77);
  const DeviceArray<int> din(in), partial(20), out(1);
  const DeviceArray<int> count(std::vector<int>{0});
  sound::LaunchLastBlockSum(din.data(), partial.data(), count.data(),
                            out.data(), 10000, 20, nullptr);
  EXPECT_EQ(out.Read()[0], std::accumulate(in.begin(), in.end(), 0));
  ExpectNoError();
}

SIMT_TEST(LockBetweenBlocks) {
  const DeviceArray<int> lock(std::vector<int>{0}), total(std::vector<int>{0});
  sound::LaunchLock(lock.data(), total.data(), 200, nullptr);
  EXPECT_EQ(total.Read()[0], 200);
  ExpectNoError();
}

SIMT_TEST(NamedBarriers) {
  std::vector<int> in(32 * 7);
  std::iota(in.begin(), in.end(), 5);
  const DeviceArray<int> din(in), out(in.size());
  sound::LaunchNamedBarriers(din.data(), out.data(), 7, nullptr);
  const auto got = out.Read();
  ExpectNoError();
  for (size_t i = 0; i < in.size(); ++i) EXPECT_EQ(got[i], 3 * in[i]);
}

SIMT_TEST(ChainOfBlocks) {
  const DeviceArray<unsigned> flags(std::vector<unsigned>(100, 0));
  const DeviceArray<int> out(100);
  sound::LaunchChain(flags.data(), out.data(), 100, nullptr);
  const auto got = out.Read();
  ExpectNoError();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(got[i], i);
}

SIMT_TEST(WarpExchange) {
  std::vector<int> in(150);
  std::iota(in.begin(), in.end(), 0);
  const DeviceArray<int> din(in), out(in.size());
  sound::LaunchWarpExchange(din.data(), out.data(), 150, nullptr);
  const auto got = out.Read();
  ExpectNoError();
  for (int i = 0; i < 150; ++i) EXPECT_EQ(got[i], in[i] + 1);
}

}  // namespace

SIMT_TEST_MAIN()
