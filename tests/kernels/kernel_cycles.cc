// Prints what the int4 kernels cost, in cycles of one thread for 128 k and 16
// outputs, for every instruction set of this machine: the figures that
// kernels/cpu/row_plan.cc chooses by (docs/cpu.md). Weights come from the
// second-level cache. Cycles are counted against a chain of multiplications, in
// CPU time of the thread, best of several runs.
//
//   kernel_cycles

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cpu/activations.h"
#include "kernels/cpu/int4_matmul.h"
#include "kernels/cpu/int4_panel.h"
#include "kernels/cpu/isa.h"
#include "kernels/exact_sum.h"
#include "tests/support/random.h"

namespace quatrain {
namespace {

constexpr int kCols = 4096;
constexpr int kTiles = 8;
constexpr int kPanelSweepRows = 128;

double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * now.tv_nsec;
}

template <typename Body>
double BestSeconds(const Body& body) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 15; ++i) {
    const double begin = ThreadSeconds();
    body();
    best = std::min(best, ThreadSeconds() - begin);
  }
  return best;
}

// By a chain of multiplications, 3 cycles each on all that we know.
double CyclesPerSecond() {
  constexpr int kMultiplications = 1 << 19;
  return 3 * kMultiplications / BestSeconds([] {
           uint64_t product = 3;
           for (int i = 0; i < kMultiplications; i += 8) {
             for (int j = 0; j < 8; ++j) {
               product *= product;
               asm volatile("" : "+r"(product));
             }
           }
         });
}

struct Data {
  Data() : list(Ends()) {
    Random random(1);
    tile_bytes = list.TileBytes(DType::kF16);
    record.resize(tile_bytes * kTiles + 64);
    for (std::byte& byte : record) byte = std::byte(random.Int(0, 15));
    x = random.Normals(size_t{kPanelSweepRows} * kCols, 1.0f);
  }
  static std::vector<int> Ends() {
    std::vector<int> ends;
    for (int k = 128; k <= kCols; k += 128) ends.push_back(k);
    return ends;
  }
  const BlockList list;
  int64_t tile_bytes = 0;
  std::vector<std::byte> record;
  std::vector<float> x;
};

struct Digits {
  Digits(const Data& data, Isa isa, int num_digits)
      : digits(size_t{kPanelSweepRows} * kCols),
        scales(size_t{kPanelSweepRows} * data.list.num_blocks()),
        sums(scales.size()) {
    for (int r = 0; r < kPanelSweepRows; ++r)
      ActivationKernelsFor(isa).digits(
          &data.x[size_t(r) * kCols], data.list,
          num_digits == 1 ? kMaxOneDigit : kMaxDigits,
          &digits[size_t(r) * kCols], &scales[r * data.list.num_blocks()],
          &sums[r * data.list.num_blocks()]);
  }
  std::vector<int16_t> digits;
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

void PrintRows(const Data& data, Isa isa, int num_digits, double frequency) {
  const Int4Kernels& kernels = Int4KernelsFor(isa);
  Digits d(data, isa, num_digits);
  if (kernels.arrange != nullptr)
    kernels.arrange(d.digits.data(), static_cast<int>(d.digits.size()));
  const int blocks = data.list.num_blocks();
  const DigitRows x{d.digits.data(), kCols, d.scales.data(), d.sums.data(),
                    blocks};
  const auto& tiles = num_digits == 1 ? kernels.one_digit : kernels.tile;
  std::printf("%-13s %d digit%s", Name(isa), num_digits,
              num_digits == 1 ? " " : "s");
  alignas(64) int64_t out[kRowGroup * kTileRows];
  for (int rows = 1; rows <= kRowGroup; ++rows) {
    const double seconds = BestSeconds([&] {
      for (int t = 0; t < kTiles; ++t)
        tiles[rows - 1][0](
            {data.record.data() + t * data.tile_bytes, DType::kF16}, data.list,
            x, out);
    });
    std::printf(" %5.0f", seconds * frequency / (kTiles * blocks));
  }
  std::printf("\n");
}

void PrintPanels(const Data& data, Isa isa, int num_digits, double frequency) {
  const PanelKernels& kernels = *PanelKernelsFor(isa);
  const Digits d(data, isa, num_digits);
  const int blocks = data.list.num_blocks();
  double cycles[2];
  const int units[2] = {1, kPanelSweepRows / UnitRows(num_digits)};
  for (int i = 0; i < 2; ++i) {
    const int rows = units[i] * UnitRows(num_digits);
    std::vector<std::byte> activations(
        PanelRowBytes(data.list, rows, num_digits));
    const PanelRows x{
        activations.data(),
        reinterpret_cast<float*>(activations.data() +
                                 PanelDigitBytes(data.list, rows, num_digits)),
        rows, num_digits};
    for (int r = 0; r < rows; ++r)
      kernels.arrange(data.list, &d.digits[size_t(r) * kCols],
                      &d.scales[r * blocks], r, x);
    std::vector<std::byte> memory(PanelWorkspace(nullptr, rows).bytes +
                                  kTileLine);
    const size_t past = reinterpret_cast<uintptr_t>(memory.data()) % kTileLine;
    std::vector<uint8_t> marks(rows);
    const double seconds = BestSeconds([&] {
      kernels.multiply[num_digits - 1][0](
          {data.record.data(), data.tile_bytes, kTiles, DType::kF16, data.list,
           x, memory.data() + (kTileLine - past), marks.data()});
    });
    cycles[i] = seconds * frequency / (kTiles * blocks);
  }
  const double unit = (cycles[1] - cycles[0]) / (units[1] - units[0]);
  std::printf("%-13s %d digit%s unit %.0f expand %.0f\n", Name(isa), num_digits,
              num_digits == 1 ? " " : "s", unit, cycles[0] - unit);
}

void Main() {
  const double frequency = CyclesPerSecond();
  std::printf("%.2f GHz; by 1 to 8 rows, then by matrix tiles\n",
              frequency * 1e-9);
  const Data data;
  for (const std::string& name : AvailableIsas()) {
    const Isa isa = *ChooseIsa(name);
    for (const int num_digits : {2, 1}) {
      PrintRows(data, isa, num_digits, frequency);
      if (PanelKernelsFor(isa) != nullptr)
        PrintPanels(data, isa, num_digits, frequency);
    }
  }
}

}  // namespace
}  // namespace quatrain

int main() { quatrain::Main(); }
