#pragma once

#include <cstdint>

// Runs one instruction of ptx.h, or one intrinsic, on the inputs of a warp.
namespace quatrain::conformance {

constexpr int kLanes = 32;
constexpr int kWords = 8;  // per lane, of inputs and of outputs

struct Operation {
  const char* name;
  // Largest difference between the hardware's f32 results and the emulated
  // device's, in units of the last place of the larger; 0: the same bits.
  int tolerance_ulp;
  // The inputs are small floats of this kind, not arbitrary bits.
  enum Inputs { kBits, kF16, kBF16, kF32, kF32Positive } inputs;
};

int NumOperations();
const Operation& GetOperation(int index);

// in, out: device memory, [kLanes][kWords]. On the default stream.
void Launch(int index, const uint32_t* in, uint32_t* out);

}  // namespace quatrain::conformance
