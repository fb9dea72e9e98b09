#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/emu/engine.h"

// What one launch, or the launches of one operation, cost where that can be
// counted: a line of counters.txt and the limits that it must keep.
namespace quatrain {

// An operand that is most of what an operation moves.
struct Operand {
  const void* data = nullptr;  // where its buffer begins
  double bytes = 0.0;          // of it that must be read
};

struct CounterLimits {
  double of_floor = 1.03;  // sectors moved, over the bytes that must be
  double reads = 1.0;      // how often the operand is read, from any cache
  uint64_t conflicts = 0;  // passes of shared memory beyond the least
};

struct CounterLine {
  std::string kernel, shape;
  double floor_bytes = 0.0;  // what must be moved at least
  Operand operand;
  CounterLimits limits;
  simt::LaunchCounters counters;

  uint64_t Sum(uint64_t simt::BufferTraffic::*field) const;
  // Distinct sectors of each launch.
  uint64_t read() const { return Sum(&simt::BufferTraffic::distinct_read); }
  uint64_t written() const {
    return Sum(&simt::BufferTraffic::distinct_written);
  }
  double of_floor() const;
  // Sectors that instructions ask for, over those: what caches have to serve.
  double asked() const;
  double reads() const;
  uint64_t conflicts() const;

  std::string Text() const;
  // Expects what `limits` say.
  void Check() const;
};

// Counts what `work` launches.
CounterLine Counted(const std::string& kernel, const std::string& shape,
                    double floor_bytes, const Operand& operand,
                    const CounterLimits& limits,
                    const std::function<void()>& work);

// "M 1 N 192 K 4096".
std::string ShapeText(int tokens, int rows, int cols);

// The lines of each group of operations, in a file of its own.
std::vector<CounterLine> CountProducts();
std::vector<CounterLine> CountDense();
std::vector<CounterLine> CountPacking();
std::vector<CounterLine> CountRows();
std::vector<CounterLine> CountAttention();
std::vector<CounterLine> CountSampling();

}  // namespace quatrain
