#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cpu/isa.h"

namespace quatrain {

// Whether matrix tiles of 8-bit integers can be used: asked once, by a small
// product in the processor's tiles and in tiles in memory.
struct AmxState {
  bool works = false;
  // Why a processor that says that it has them is treated as one without;
  // empty for others.
  std::string failure;
};
const AmxState& Amx();

// That product, by Isa::kAmx or kAmxEmulated; nothing if the processor refuses
// one of its instructions. For x86-64 with AVX-512.
std::optional<std::vector<int64_t>> SmallTileProduct(Isa isa);

}  // namespace quatrain
