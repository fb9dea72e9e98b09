#pragma once

#include <string>

#include "kernels/cuda/table.h"

// What the device can do at most: by its data sheet, and as measured at start.
namespace quatrain::bench {

enum class Unit {
  kTensorF16,   // f16 products, f32 sums
  kTensorInt8,  // twice that on every chip we know
  kF32,         // multiply-adds outside tensor cores
};

struct Ceilings {
  // Bytes and operations per second; 0: not known.
  double spec_bandwidth = 0;
  double spec_f16 = 0;
  double f32 = 0;  // from clock and multiprocessors
  double read = 0;
  double copy = 0;         // read and written bytes together
  double f16 = 0;          // cuBLAS, 8192 x 8192 x 8192
  std::string read_shape;  // the grid that read fastest

  double bandwidth() const { return read > 0 ? read : spec_bandwidth; }
  double rate(Unit unit) const;
};

// By the device's name and properties.
Ceilings SpecOf(const QuatrainDeviceInfo& device);

class Bench;
class Cublas;

// Fills what is measured. `cublas` may be null. In smoke mode it only runs.
void MeasureCeilings(Bench& bench, Cublas* cublas, Ceilings& ceilings);

}  // namespace quatrain::bench
