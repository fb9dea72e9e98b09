#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/emu/buffers.h"
#include "kernels/emu/shadow.h"

namespace simt::emu {

// A block's access to a word of 4 bytes, and to which of them.
struct BlockMark {
  uint32_t block = 0;
  uint32_t clock = 0;
  uint32_t origin = 0;
  uint8_t mask = 0;  // 0: none
  bool atomic = false;
};

// Words, not bytes: a mask keeps apart the bytes of two blocks, and a megabyte
// of weights needs 10 of state instead of 40.
struct WordState {
  uint32_t launch = 0;  // of another launch: as good as new
  bool read_only = false;
  BlockMark writer;
  BlockMark reader;
};

struct BufferShadow {
 public:
  explicit BufferShadow(size_t words)
      : words_(words),
        states_(static_cast<WordState*>(MapZeroes(words * sizeof(WordState)))) {
  }
  ~BufferShadow() { UnmapZeroes(states_, words_ * sizeof(WordState)); }
  BufferShadow(const BufferShadow&) = delete;
  BufferShadow& operator=(const BufferShadow&) = delete;

  WordState& word(size_t at) { return states_[at]; }

 private:
  const size_t words_;
  WordState* const states_;
};

BufferShadow& ShadowOf(Allocation& buffer);

}  // namespace simt::emu
