// What the kernels cost where that can be counted: memory traffic in sectors of
// 32 bytes, bank conflicts, barriers, tensor-core instructions, per kernel and
// shape, compared with the committed table counters.txt.
//
//   counters_check                  compares
//   QUATRAIN_UPDATE=1 ...           writes the table anew
//
// Only on the emulated device, and only where it sees every access (the check
// build); elsewhere the test says that it skips.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "kernels/emu/engine.h"
#include "tests/kernels/cuda/compare.h"
#include "tests/kernels/cuda/linear_case.h"

namespace quatrain {
namespace {

constexpr const char* kTable = "tests/kernels/cuda/counters.txt";
constexpr int kSector = 32;

// One line of the table.
struct Line {
  std::string kernel, shape;
  simt::LaunchCounters counters;
  const void* weights = nullptr;  // whose sectors may be read once
  double floor_bytes = 0.0;       // what must be moved at least

  uint64_t Sum(uint64_t simt::BufferTraffic::*field) const {
    uint64_t sum = 0;
    for (const simt::BufferTraffic& traffic : counters.traffic)
      sum += traffic.*field;
    return sum;
  }
  uint64_t moved() const {
    return Sum(&simt::BufferTraffic::distinct_read) +
           Sum(&simt::BufferTraffic::distinct_written);
  }
  double ratio() const { return moved() * kSector / floor_bytes; }
  uint64_t conflicts() const {
    return counters.shared_passes - counters.shared_minimum +
           counters.ldmatrix_passes - counters.ldmatrix_minimum;
  }
  // How often a sector of the weights is read.
  double weight_reads() const {
    for (const simt::BufferTraffic& traffic : counters.traffic)
      if (traffic.buffer == weights && weights != nullptr)
        return double(traffic.sectors_read) / double(traffic.distinct_read);
    return 0.0;
  }

  std::string Text() const {
    char text[256];
    std::snprintf(text, sizeof(text),
                  "%-18s %-24s %9llu %7.3f %7.3f %9llu %9llu %9llu %9llu %9llu",
                  kernel.c_str(), shape.c_str(),
                  static_cast<unsigned long long>(moved()),
                  floor_bytes > 0 ? ratio() : 0.0, weight_reads(),
                  static_cast<unsigned long long>(conflicts()),
                  static_cast<unsigned long long>(counters.block_barriers),
                  static_cast<unsigned long long>(
                      counters.mma_int8 + counters.mma_f16 + counters.mma_bf16),
                  static_cast<unsigned long long>(counters.async_copies),
                  static_cast<unsigned long long>(counters.warp_collectives));
    return text;
  }
};

simt::LaunchCounters Count(const std::function<void()>& work) {
  DeviceArray<int>::Synchronize();
  simt::take_counters();
  simt::count_traffic(true);
  work();
  DeviceArray<int>::Synchronize();
  simt::count_traffic(false);
  return simt::take_counters();
}

std::string ShapeText(int tokens, int rows, int cols) {
  return "M " + std::to_string(tokens) + " N " + std::to_string(rows) + " K " +
         std::to_string(cols);
}

// An int4 linear with its digits, ready to multiply.
struct LinearRun {
  int tokens, rows, cols, num_digits;
  DeviceInt4 linear;
  DeviceArray<float> x;
  DeviceDigits digits;
  DeviceArray<int32_t> marks;
  DeviceArray<float> out;

  LinearRun(int num_tokens, int num_rows, int num_cols, int group, int of)
      : tokens(num_tokens),
        rows(num_rows),
        cols(num_cols),
        num_digits(of),
        linear(rows, cols, BlockEnds(cols, group), kQuatrainF16),
        x(MakeX(tokens * cols)),
        digits(linear.view(), tokens, of),
        marks(tokens),
        out(static_cast<size_t>(tokens) * rows) {
    Random random(1);
    linear.Pack(HostInt4(rows, cols, BlockEnds(cols, group), kQuatrainF16,
                         0.01f, random));
  }

  static std::vector<float> MakeX(int n) {
    Random random(2);
    std::vector<float> values(n);
    for (float& value : values) value = random.Bell();
    return values;
  }

  void MakeDigits() {
    const QuatrainMakeDigits op{x.data(), cols,          nullptr,
                                nullptr,  1e-5f,         linear.view(),
                                tokens,   digits.view(), marks.data()};
    CudaOk(Cuda().digits(&op, nullptr), "digits");
  }
  void Multiply(int kernel) {
    const QuatrainProduct op{linear.view(),  digits.view(), tokens,
                             kQuatrainStore, nullptr,       out.data(),
                             rows,           marks.data(),  kernel};
    CudaOk(Cuda().product(&op, nullptr), "product");
  }

  // Weights of 4 bits, a scale of 16 and a zero of 4 per group; digits with a
  // and sum; outputs.
  double FloorBytes() const {
    const double blocks = linear.view().num_blocks;
    return rows * (cols * 0.5 + blocks * 2.5) +
           tokens * (double(cols) * num_digits + blocks * 8.0 + 4.0) +
           tokens * rows * 4.0;
  }
};

Line CountProduct(int tokens, int rows, int cols, int group, int num_digits,
                  int kernel) {
  LinearRun run(tokens, rows, cols, group, num_digits);
  run.MakeDigits();
  const bool few = kernel == kQuatrainFewRows;
  return {std::string(few ? "few_rows" : "medium_rows") +
              (num_digits == 1 ? "_int8" : ""),
          ShapeText(tokens, rows, cols) +
              (group == 128 ? "" : " g" + std::to_string(group)),
          Count([&] { run.Multiply(kernel); }), run.linear.tiles(),
          run.FloorBytes()};
}

Line CountDigits(int tokens, int cols) {
  LinearRun run(tokens, 16, cols, 128, 2);
  return {"digits", ShapeText(tokens, 0, cols),
          Count([&] { run.MakeDigits(); }), nullptr,
          tokens * (cols * 6.0 + cols / 128 * 8.0 + 8.0)};
}

std::vector<Line> CountAll() {
  std::vector<Line> lines;
  for (const int tokens : {1, 4, 8, 16})
    for (const int cols : {4096, 11008})
      lines.push_back(
          CountProduct(tokens, 192, cols, 128, 2, kQuatrainFewRows));
  lines.push_back(CountProduct(1, 192, 28672, 128, 2, kQuatrainFewRows));
  lines.push_back(CountProduct(1, 192, 4096, 64, 2, kQuatrainFewRows));
  lines.push_back(CountProduct(8, 192, 4096, 128, 1, kQuatrainFewRows));
  lines.push_back(CountProduct(32, 256, 1024, 128, 2, kQuatrainMediumRows));
  lines.push_back(CountProduct(64, 256, 1024, 64, 2, kQuatrainMediumRows));
  lines.push_back(CountProduct(64, 256, 1024, 128, 1, kQuatrainMediumRows));
  lines.push_back(CountDigits(1, 4096));
  lines.push_back(CountDigits(16, 8192));
  return lines;
}

constexpr const char* kHeader =
    "# Written by counters_test.cc (QUATRAIN_UPDATE=1), checked by it in CI.\n"
    "# sectors: distinct sectors of 32 bytes read or written; of floor: over\n"
    "# the bytes that must move; weights: reads per sector of the weights;\n"
    "# conflicts: passes of shared memory beyond the least.\n"
    "# kernel           shape                      sectors of floor weights "
    "conflicts  barriers       mma  cp.async  collectives\n";

std::string TableText(const std::vector<Line>& lines) {
  std::string text = kHeader;
  for (const Line& line : lines) text += line.Text() + "\n";
  return text;
}

SIMT_TEST(CountersAreTheCommittedOnes) {
  if (!simt::checks_accesses()) {
    runner::Skipped() = "only the check build sees every access";
    return;
  }
  const std::vector<Line> lines = CountAll();
  for (const Line& line : lines) {
    const std::string name = line.kernel + " " + line.shape;
    EXPECT_TEXT(line.conflicts() == 0, name + " has bank conflicts");
    if (line.kernel.rfind("few_rows", 0) != 0) continue;
    EXPECT_TEXT(line.weight_reads() == 1.0, name + " reads weights twice");
    // A header is 64 bytes of which 40 are needed: with groups of 64 that is
    // 4 % of the weights, with groups of 128 half of it.
    if (line.shape.find(" g") != std::string::npos) continue;
    EXPECT_TEXT(line.ratio() <= 1.03,
                name + " moves more than 1.03 x its floor");
  }
  const std::string text = TableText(lines);
  if (std::getenv("QUATRAIN_UPDATE") != nullptr) {
    std::ofstream(kTable) << text;
    return;
  }
  std::ifstream file(kTable);
  std::stringstream committed;
  committed << file.rdbuf();
  EXPECT_TEXT(committed.str() == text,
              std::string(kTable) + " is not what was counted:\n" + text);
}

}  // namespace
}  // namespace quatrain
