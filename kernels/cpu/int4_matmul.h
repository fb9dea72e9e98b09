#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/int4_record.h"
#include "kernels/cpu/isa.h"

namespace quatrain {

// Rows of activations that one call multiplies, at most.
inline constexpr int kRowGroup = 8;

// How far ahead of a use weights are asked for: into the second-level cache,
// then into the first.
inline constexpr int kFarBytes = 16384;
inline constexpr int kNearBytes = 4096;

// The activations of some rows as integers (docs/numerics.md), in the order
// that the kernels read. All arrays are row-major, `*_stride` in elements.
struct DigitRows {
  const int16_t* digits = nullptr;  // [rows, BlockList::num_digits]
  ptrdiff_t digit_stride = 0;
  const float* scales = nullptr;  // a, [rows, num_blocks]
  const int32_t* sums = nullptr;  // of a block's digits, [rows, num_blocks]
  ptrdiff_t block_stride = 0;

  DigitRows From(int row) const {
    return {digits + row * digit_stride, digit_stride,
            scales + row * block_stride, sums + row * block_stride,
            block_stride};
  }
};

// One tile of 16 outputs times `rows` <= kRowGroup rows. sums: [rows, 16], the
// sum of the contributions in units of 2^-28. Returns a bit for each row that
// met a contribution which does not fit; 0 where !check.
using Int4TileFunction = uint32_t (*)(const Int4Tile& tile,
                                      const BlockList& blocks,
                                      const DigitRows& x, int64_t* sums);

struct Int4Kernels {
  Int4TileFunction tile[kRowGroup][2];  // [rows - 1][check]
  // The same for digits of at most kMaxOneDigit, where that is another.
  Int4TileFunction one_digit[kRowGroup][2];
  // Brings a row of digits into the order that `tile` reads, in place; null:
  // that of int4_record.h.
  void (*arrange)(int16_t* digits, int num_digits) = nullptr;
};

const Int4Kernels& Int4KernelsFor(Isa isa);

// AVX-512 VNNI's own; defined only where the compiler has it.
const Int4Kernels& Int4KernelsVnni();

}  // namespace quatrain
