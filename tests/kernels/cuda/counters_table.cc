#include "tests/kernels/cuda/counters_table.h"

#include <cstdio>

#include "tests/kernels/cuda/device.h"
#include "tests/kernels/simt/runner.h"

namespace quatrain {
namespace {

constexpr double kSector = 32.0;

std::string Padded(const char* format, auto value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

std::string Number(uint64_t value) {
  return Padded(" %8llu", static_cast<unsigned long long>(value));
}

}  // namespace

uint64_t CounterLine::Sum(uint64_t simt::BufferTraffic::*field) const {
  uint64_t sum = 0;
  for (const simt::BufferTraffic& traffic : counters.traffic)
    sum += traffic.*field;
  return sum;
}

double CounterLine::of_floor() const {
  return static_cast<double>(read() + written()) * kSector / floor_bytes;
}

double CounterLine::asked() const {
  const uint64_t all = Sum(&simt::BufferTraffic::sectors_read) +
                       Sum(&simt::BufferTraffic::sectors_written);
  return static_cast<double>(all) / static_cast<double>(read() + written());
}

double CounterLine::reads() const {
  for (const simt::BufferTraffic& traffic : counters.traffic)
    if (traffic.buffer == operand.data && operand.data != nullptr)
      return static_cast<double>(traffic.sectors_read) * kSector /
             operand.bytes;
  return 0.0;
}

uint64_t CounterLine::conflicts() const {
  return counters.shared_passes - counters.shared_minimum +
         counters.ldmatrix_passes - counters.ldmatrix_minimum;
}

std::string CounterLine::Text() const {
  const uint64_t mma = counters.mma_int8 + counters.mma_f16 + counters.mma_bf16;
  return Padded("%-18s", kernel.c_str()) + Padded(" %-30s", shape.c_str()) +
         Number(read()) + Number(written()) + Padded(" %7.3f", of_floor()) +
         Padded(" %7.3f", reads()) + Padded(" %7.2f", asked()) +
         Number(conflicts()) + Number(counters.block_barriers) + Number(mma) +
         Number(counters.async_copies) + Number(counters.warp_collectives);
}

void CounterLine::Check() const {
  const std::string name = kernel + " " + shape;
  const auto at_most = [&](double is, double most, const char* what) {
    EXPECT_TEXT(is <= most, name + ": " + what + " is " + runner::Show(is) +
                                ", at most " + runner::Show(most));
  };
  at_most(of_floor(), limits.of_floor, "what is moved, of its floor,");
  at_most(reads(), limits.reads, "how often the operand is read");
  EXPECT_TEXT(operand.data == nullptr || reads() > 0.9,
              name + ": its operand is not read");
  at_most(static_cast<double>(conflicts()),
          static_cast<double>(limits.conflicts),
          "the number of bank conflicts");
}

CounterLine Counted(const std::string& kernel, const std::string& shape,
                    double floor_bytes, const Operand& operand,
                    const CounterLimits& limits,
                    const std::function<void()>& work) {
  DeviceArray<int>::Synchronize();
  simt::take_counters();
  simt::count_traffic(true);
  work();
  DeviceArray<int>::Synchronize();
  simt::count_traffic(false);
  return {kernel, shape, floor_bytes, operand, limits, simt::take_counters()};
}

std::string ShapeText(int tokens, int rows, int cols) {
  return "M " + std::to_string(tokens) + " N " + std::to_string(rows) + " K " +
         std::to_string(cols);
}

}  // namespace quatrain
