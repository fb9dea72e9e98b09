#pragma once

#include <string>

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

}  // namespace quatrain
