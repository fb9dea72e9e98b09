#pragma once

#include <cstdint>
#include <string>

#include "base/dtype.h"

namespace quatrain {

// How linears multiply. kExact is the definition of docs/numerics.md. kF32 is
// for checking an architecture against an oracle: plain products of the
// dequantized weights, which only the reference backend offers.
enum class Activations : uint8_t { kExact, kF32 };

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
