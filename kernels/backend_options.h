#pragma once

#include <cstdint>
#include <string>

#include "base/dtype.h"

namespace quatrain {

// How linears multiply. kExact is the definition of docs/numerics.md; kInt8 is
// the same with one digit of 8 bits instead of two, faster and less exact. kF32
// is for checking an architecture against an oracle: plain products of the
// dequantized weights, which only the reference backend offers.
enum class Activations : uint8_t { kExact, kInt8, kF32 };

// "exact", "int8" and "f32"; false for any other name.
inline bool ParseActivations(const std::string& name, Activations* out) {
  if (name == "exact") return *out = Activations::kExact, true;
  if (name == "int8") return *out = Activations::kInt8, true;
  if (name == "f32") return *out = Activations::kF32, true;
  return false;
}

// For Backend::Description().
inline const char* DescriptionOf(Activations activations) {
  switch (activations) {
    case Activations::kInt8:
      return ", activations int8";
    case Activations::kF32:
      return ", activations f32";
    default:
      return "";
  }
}

// What a backend is made from, once per rank.
struct BackendOptions {
  int num_slots = 0;   // sequences that hold state at a time
  int max_blocks = 0;  // of one sequence
  int block_size = 16;
  int max_tokens = 0;  // T of the largest step
  DType kv_dtype = DType::kF16;
  int threads = 1;
  // Idle threads poll before they sleep: only where all threads of all ranks of
  // this host fit its cores.
  bool spin = false;
  std::string isa;  // "" or "auto" = the best; the reference ignores it
  Activations activations = Activations::kExact;
  int64_t memory_limit_bytes = 0;  // of DeviceMemory; 0 = no limit
};

}  // namespace quatrain
