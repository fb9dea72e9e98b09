#pragma once

#include <cstdint>

namespace simt::emu {

// `count` halves, two to a word, the lower first, as floats. count % 4 == 0.
void WidenHalves(const uint32_t* words, int count, float* out);
void WidenBfloats(const uint32_t* words, int count, float* out);

}  // namespace simt::emu
