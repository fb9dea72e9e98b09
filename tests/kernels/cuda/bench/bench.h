#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/kernels/cuda/bench/ceilings.h"
#include "tests/kernels/cuda/device.h"

// What every group of the benchmark of kernels shares: how a kernel is timed
// and how a row of the table comes to be. A group is one file with one function
// Bench...(Bench&), named in groups.h.
//
// Method: medians over replays of a graph of many launches. Launches take their
// weights in turn from copies that together are three times the L2, so that
// every launch reads memory. Data is random, never zeros.
namespace quatrain::bench {

struct Options {
  bool smoke = false;  // tiny shapes, every entry runs once, nothing is timed
  bool quick = false;  // fewer counts of tokens, fewer repetitions
  double seconds = 0;  // after these, as few repetitions as possible
  std::string json;    // file to write, or empty
  std::string commit;  // of the kernels, for the record
  std::string only;    // groups whose name contains it
};

// The least that a kernel has to do.
struct Work {
  double bytes = 0;  // through the memory, each once
  double operations = 0;
  Unit unit = Unit::kTensorF16;
};

struct Times {  // microseconds of one launch
  double median = 0;
  double p10 = 0, p90 = 0;  // over replays
  int launches = 0;         // of one graph
  int replays = 0;
  bool hurried = false;  // few repetitions: the time was over
};

struct Row {
  std::string group;
  std::string kernel;
  std::string shape;
  int tokens = 0;
  Work work;
  bool exact = true;  // has the bits of docs/numerics.md
  // What rows of both modes do alike, for the slowdown of --deterministic;
  // empty: what only exact kernels do.
  std::string task;
  Times times;
  double before_us = 0;      // of what only this kernel needs before it: digits
  double cublas_us = 0;      // f16 of the same shape; 0: there is none
  double wanted_floor = 0;   // share of the floor that is wanted; 0: none
  double wanted_cublas = 0;  // likewise of cuBLAS's speed

  // What kernels that do the same are compared by.
  double whole_us() const { return before_us + times.median; }
};

// Enqueues launch i = 0, 1, 2, ... on Bench::stream().
using Launch = std::function<void(int i)>;

class Bench {
 public:
  Bench(const Options& options, const QuatrainDeviceInfo& device,
        QuatrainStream stream, const Ceilings& ceilings);

  const Options& options() const { return options_; }
  const QuatrainDeviceInfo& device() const { return device_; }
  const Ceilings& ceilings() const { return ceilings_; }
  QuatrainStream stream() const { return stream_; }
  const std::vector<Row>& rows() const { return rows_; }
  int num_wrong() const { return num_wrong_; }

  // Copies of `bytes` that are cold in turn: at least 3, and three times the
  // L2 together.
  int NumCopies(double bytes) const;

  // The one of this mode.
  std::vector<int> Pick(std::vector<int> full, std::vector<int> quick,
                        std::vector<int> smoke) const;

  // `copies`: launches i and i + copies use the same memory.
  Times Measure(const Launch& launch, int copies);

  // Prints the row and keeps it.
  void Add(Row row);

  // The shortest time that the ceilings leave for this work, in microseconds.
  double Floor(const Work& work) const;
  // The same with the vendor's bandwidth; 0 where it is not known.
  double SpecFloor(const Work& work) const;

  // A result is not what it must be: the program will fail.
  void Wrong(const std::string& what);

  void Synchronize() const;
  double Seconds() const;  // since the program began

 private:
  Options options_;
  QuatrainDeviceInfo device_;
  QuatrainStream stream_;
  Ceilings ceilings_;
  std::vector<Row> rows_;
  int num_wrong_ = 0;
  double begin_;
};

}  // namespace quatrain::bench
