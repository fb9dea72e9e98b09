#include "tests/kernels/simt/tables.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/emu/engine.h"
#include "tests/kernels/simt/device_array.h"
#include "tests/kernels/simt/runner.h"

namespace {

void ExpectNoError() {
  const simt::Report report = simt::take_error();
  EXPECT_TEXT(report.ok(), report.text);
}

std::vector<uint32_t> RandomWords(size_t n) {
  std::mt19937 random(static_cast<unsigned>(n));
  std::vector<uint32_t> words(n);
  for (uint32_t& word : words) word = random();
  return words;
}

int Bit(uint32_t word, int i) { return word >> i & 1; }

uint32_t Lop3(int table, uint32_t a, uint32_t b, uint32_t c) {
  uint32_t result = 0;
  for (int i = 0; i < 32; ++i)
    result |=
        static_cast<uint32_t>(Bit(static_cast<uint32_t>(table),
                                  4 * Bit(a, i) + 2 * Bit(b, i) + Bit(c, i)))
        << i;
  return result;
}

int Byte(uint32_t word, int i) { return word >> 8 * i & 0xFF; }
int SignedByte(uint32_t word, int i) {
  const int byte = Byte(word, i);
  return byte < 128 ? byte : byte - 256;
}

SIMT_TEST(Bits) {
  const int n = 200;
  const auto in = RandomWords(3 * n);
  const DeviceArray<uint32_t> device_in(in), out(8 * n);
  tables::LaunchBits(device_in.data(), out.data(), n, nullptr);
  const auto got = out.Read();
  ExpectNoError();
  for (int i = 0; i < n; ++i) {
    const uint32_t a = in[3 * i], b = in[3 * i + 1], c = in[3 * i + 2];
    const uint32_t* g = got.data() + 8 * i;
    EXPECT_EQ(g[0], Lop3(0xE8, a, b, c));
    EXPECT_EQ(g[0], (a & b) | (a & c) | (b & c));
    EXPECT_EQ(g[1], Lop3(0x6A, a, b, c));
    EXPECT_EQ(g[2], ~(a | b | c));
    uint32_t perm = 0, dot = c, signed_dot = c;
    for (int k = 0; k < 4; ++k) {
      const int pick = c >> 4 * k & 7;
      perm |= static_cast<uint32_t>(Byte(pick < 4 ? a : b, pick % 4)) << 8 * k;
      dot += static_cast<uint32_t>(Byte(a, k) * Byte(b, k));
      signed_dot += static_cast<uint32_t>(SignedByte(a, k) * SignedByte(b, k));
    }
    EXPECT_EQ(g[3], perm);
    EXPECT_EQ(g[4], signed_dot);
    EXPECT_EQ(g[5], dot);
    const int by = c & 31;
    EXPECT_EQ(g[6], by == 0 ? b : b << by | a >> (32 - by));
    EXPECT_EQ(g[7], by == 0 ? a : a >> by | b << (32 - by));
  }
}

// Fragments filled from matrices over the map of the PTX ISA, written down here
// element by element rather than register by register.
struct Fragments {
  std::vector<uint32_t> words = std::vector<uint32_t>(320);

  void Put(int lane, int word, int shift, uint32_t bits) {
    words[10 * lane + word] |= bits << shift;
  }
};

template <typename T>
uint32_t Bits(T value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(value));
  return bits;
}

void TestInt8(tables::Mma kind) {
  std::mt19937 random(7);
  int a[16][32], b[32][8], c[16][8];
  for (auto& row : a)
    for (int& v : row)
      v = static_cast<int>(random() % 256) -
          (kind == tables::Mma::kS8S8 ? 128 : 0);
  for (auto& row : b)
    for (int& v : row) v = static_cast<int>(random() % 256) - 128;
  for (auto& row : c)
    for (int& v : row) v = static_cast<int>(random() % 2000) - 1000;
  Fragments f;
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < 32; ++k)
      f.Put(m % 8 * 4 + k % 16 / 4, m / 8 + 2 * (k / 16), 8 * (k % 4),
            static_cast<uint8_t>(a[m][k]));
  for (int k = 0; k < 32; ++k)
    for (int n = 0; n < 8; ++n)
      f.Put(n * 4 + k % 16 / 4, 4 + k / 16, 8 * (k % 4),
            static_cast<uint8_t>(b[k][n]));
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n)
      f.Put(m % 8 * 4 + n / 2, 6 + 2 * (m / 8) + n % 2, 0, Bits(c[m][n]));
  const DeviceArray<uint32_t> in(f.words), out(128);
  tables::LaunchMma(kind, in.data(), out.data(), nullptr);
  const auto got = out.Read();
  ExpectNoError();
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      int sum = c[m][n];
      for (int k = 0; k < 32; ++k) sum += a[m][k] * b[k][n];
      EXPECT_EQ(
          static_cast<int>(got[(m % 8 * 4 + n / 2) * 4 + 2 * (m / 8) + n % 2]),
          sum);
    }
}

SIMT_TEST(MmaU8S8) { TestInt8(tables::Mma::kU8S8); }
SIMT_TEST(MmaS8S8) { TestInt8(tables::Mma::kS8S8); }

template <typename T>
void TestHalf(tables::Mma kind, T (*narrow)(float)) {
  std::mt19937 random(9);
  // Small integers: exact in both types, and so is every sum.
  const auto draw = [&] { return static_cast<float>(random() % 17) - 8; };
  float a[16][16], b[16][8], c[16][8];
  for (auto& row : a)
    for (float& v : row) v = draw();
  for (auto& row : b)
    for (float& v : row) v = draw();
  for (auto& row : c)
    for (float& v : row) v = draw();
  Fragments f;
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < 16; ++k)
      f.Put(m % 8 * 4 + k % 8 / 2, m / 8 + 2 * (k / 8), 16 * (k % 2),
            Bits(narrow(a[m][k])));
  for (int k = 0; k < 16; ++k)
    for (int n = 0; n < 8; ++n)
      f.Put(n * 4 + k % 8 / 2, 4 + k / 8, 16 * (k % 2), Bits(narrow(b[k][n])));
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n)
      f.Put(m % 8 * 4 + n / 2, 6 + 2 * (m / 8) + n % 2, 0, Bits(c[m][n]));
  const DeviceArray<uint32_t> in(f.words), out(128);
  tables::LaunchMma(kind, in.data(), out.data(), nullptr);
  const auto got = out.Read();
  ExpectNoError();
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      float sum = c[m][n];
      for (int k = 0; k < 16; ++k) sum += a[m][k] * b[k][n];
      EXPECT_EQ(got[(m % 8 * 4 + n / 2) * 4 + 2 * (m / 8) + n % 2], Bits(sum));
    }
}

SIMT_TEST(MmaF16) {
  TestHalf<__half>(tables::Mma::kF16, [](float x) { return __float2half(x); });
}
SIMT_TEST(MmaBf16) {
  TestHalf<__nv_bfloat16>(tables::Mma::kBf16,
                          [](float x) { return __float2bfloat16(x); });
}

SIMT_TEST(Ldmatrix) {
  std::vector<uint16_t> in(32 * 8);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint16_t>(i * 257);
  const DeviceArray<uint16_t> device_in(in);
  const DeviceArray<uint32_t> out(7 * 128);
  tables::LaunchLdmatrix(device_in.data(), out.data(), nullptr);
  const auto got = out.Read();
  ExpectNoError();
  for (int load = 0; load < 7; ++load) {
    const int matrices = load == 6 ? 4 : 1 << load % 3;
    for (int lane = 0; lane < 32; ++lane)
      for (int j = 0; j < matrices; ++j) {
        const auto m = [&](int row, int column) -> uint32_t {
          const int r = load == 6 ? 31 - (8 * j + row) : 8 * j + row;
          return in[8 * r + column];
        };
        const int g = lane / 4, t = lane % 4;
        const bool trans = load >= 3 && load < 6;
        const uint32_t want = trans ? m(2 * t, g) | m(2 * t + 1, g) << 16
                                    : m(g, 2 * t) | m(g, 2 * t + 1) << 16;
        EXPECT_EQ(got[128 * load + 4 * lane + j], want);
      }
  }
}

SIMT_TEST(Shuffles) {
  std::vector<int> in(32);
  for (int i = 0; i < 32; ++i) in[i] = 1000 + i * i * 7 % 101;
  const DeviceArray<int> device_in(in), out(tables::kShuffles * 32);
  tables::LaunchShuffles(device_in.data(), out.data(), nullptr);
  const auto got = out.Read();
  ExpectNoError();
  int even = 0, odd = 0;
  unsigned high_votes = 0;
  for (int i = 0; i < 32; ++i) {
    even += i % 2 == 0 ? in[i] : 0;
    odd = i % 2 == 1 ? std::max(odd, in[i]) : odd;
    if (i >= 16) high_votes |= static_cast<unsigned>(in[i] & 1) << i;
  }
  for (int i = 0; i < 32; ++i) {
    const auto at = [&](int s) { return got[32 * s + i]; };
    EXPECT_EQ(at(0), in[5]);
    EXPECT_EQ(at(1), in[i / 8 * 8 + (i + 3) % 8]);
    EXPECT_EQ(at(2), in[i >= 3 ? i - 3 : i]);
    EXPECT_EQ(at(3), in[i % 16 >= 3 ? i - 3 : i]);
    EXPECT_EQ(at(4), in[i + 7 < 32 ? i + 7 : i]);
    EXPECT_EQ(at(5), in[i % 4 + 2 < 4 ? i + 2 : i]);
    EXPECT_EQ(at(6), in[i ^ 9]);
    // Lower segments may be read, higher ones give one's own value.
    EXPECT_EQ(at(7), in[(i ^ 12) <= (i | 7) ? i ^ 12 : i]);
    EXPECT_EQ(at(8), i < 16 ? in[i ^ 8] : static_cast<int>(high_votes));
    EXPECT_EQ(at(9), i % 2 == 0 ? even : odd);
    const double half = in[i ^ 1] * 0.5;
    uint64_t bits;
    std::memcpy(&bits, &half, sizeof(bits));
    EXPECT_EQ(at(10), static_cast<int>(bits >> 32));
    int same = 0, any = 0, all = 1;
    for (int k = 0; k < 32; ++k) {
      if (k < 16 && in[k] % 3 == in[i] % 3) same |= 1 << k;
      any |= in[k] == in[31];
      all &= in[k] == in[31];
    }
    EXPECT_EQ(at(11), any + 2 * all + 4 * same);
  }
}

SIMT_TEST(PartialLastWarp) {
  const int threads = 45;
  const DeviceArray<int> out(3 * threads);
  tables::LaunchPartialWarp(out.data(), threads, nullptr);
  const auto got = out.Read();
  ExpectNoError();
  for (int t = 0; t < threads; ++t) {
    EXPECT_EQ(got[3 * t], t < 32 ? 32 : 13);
    EXPECT_EQ(got[3 * t + 1], t < 32 ? 32 : 13);
    EXPECT_EQ(got[3 * t + 2], t < 32 ? 0 : 32);
  }
}

SIMT_TEST(BarrierVotes) {
  for (const int set : {0, 1, 70}) {
    std::vector<int> in(70);
    for (int i = 0; i < set; ++i) in[i] = 5;
    const DeviceArray<int> device_in(in), out(210);
    tables::LaunchBarrierVotes(device_in.data(), out.data(), 70, nullptr);
    const auto got = out.Read();
    ExpectNoError();
    for (int t = 0; t < 70; ++t) {
      EXPECT_EQ(got[3 * t] != 0, set > 0);
      EXPECT_EQ(got[3 * t + 1] != 0, set == 70);
      EXPECT_EQ(got[3 * t + 2], set);
    }
  }
}

SIMT_TEST(Atomics) {
  const DeviceArray<int> ints(std::vector<int>(3));
  const DeviceArray<unsigned> words(std::vector<unsigned>{0, 0, ~0u, 0});
  const DeviceArray<unsigned long long> longs(
      std::vector<unsigned long long>(2));
  const DeviceArray<float> floats(std::vector<float>(1));
  tables::LaunchAtomics(ints.data(), words.data(), longs.data(), floats.data(),
                        nullptr);
  const auto i = ints.Read();
  const auto w = words.Read();
  const auto l = longs.Read();
  ExpectNoError();
  EXPECT_EQ(i[0], 255 * 256 / 2);
  EXPECT_EQ(i[1], 255);
  EXPECT_EQ(i[2], -255);
  EXPECT_EQ(w[0], 768u);
  EXPECT_EQ(w[1], ~0u);
  EXPECT_EQ(w[2], 0x80000000u);
  EXPECT_EQ(w[3], 256u);
  EXPECT_EQ(l[0], 256ull << 33);
  EXPECT_EQ(l[1], 255ull << 32);
  EXPECT_EQ(floats.Read()[0], 128.0f);
}

void TestTraffic(int stride, uint64_t sectors, uint64_t conflicts) {
  const DeviceArray<int> in(std::vector<int>(64 * stride)), out(64);
  const DeviceArray<uint32_t> wide(std::vector<uint32_t>(256));
  simt::device_synchronize();
  simt::take_counters();
  simt::count_traffic(true);
  tables::LaunchTraffic(in.data(), wide.data(), out.data(), stride, nullptr);
  simt::device_synchronize();
  simt::count_traffic(false);
  const simt::LaunchCounters counters = simt::take_counters();
  ExpectNoError();
  for (const simt::BufferTraffic& t : counters.traffic) {
    if (t.buffer == wide.data()) {
      EXPECT_EQ(t.sectors_read, 32u);
      EXPECT_EQ(t.distinct_read, 32u);
    }
    if (t.buffer == in.data()) {
      EXPECT_EQ(t.sectors_read, sectors);
      EXPECT_EQ(t.distinct_read, sectors);
    }
    if (t.buffer == out.data()) {
      EXPECT_EQ(t.sectors_written, 8u);
    }
  }
  EXPECT_EQ(counters.traffic.size(), simt::checks_accesses() ? 3u : 1u);
#if !defined(__clang__)  // which loads a uint4 word by word
  EXPECT_EQ(counters.shared_passes - counters.shared_minimum,
            simt::checks_accesses() ? conflicts : 0u);
#else
  (void)conflicts;
#endif
}

SIMT_TEST(TrafficInOrder) { TestTraffic(1, 8, 0); }
SIMT_TEST(TrafficWithStride) { TestTraffic(32, 64, 2 * 31); }

}  // namespace

SIMT_TEST_MAIN()
