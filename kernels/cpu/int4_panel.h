#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/int4_record.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/tile_unit.h"

namespace quatrain {

// Products of many rows by matrix tiles: up to 16 tiles of outputs (a panel)
// times all rows of a chunk. Weights are expanded to bytes once per chunk and
// stay in the second-level cache.

inline constexpr int kPanelTiles = 16;
inline constexpr int kPanelBlocks = 2;  // of k, expanded together
// Scales from here on overflow in the kernels, which multiply them by 2^28.
inline constexpr float kPanelScaleLimit = 0x1p100f;

// A unit of rows goes through the matrix tiles together: 16 of two digits, or
// 32 of one.
constexpr int UnitRows(int num_digits) { return num_digits == 2 ? 16 : 32; }
constexpr int NumUnits(int rows, int num_digits) {
  return (rows + UnitRows(num_digits) - 1) / UnitRows(num_digits);
}

// The activations of a chunk:
//   digits  [block][unit][step of 64 k][2][16][64] s8, k ascending, zeros past
//           the end of a block. The two are the low and the high digit of 16
//           rows or, with one digit, rows 0 to 15 and 16 to 31 of the unit.
//   scales  f32 [block][units * UnitRows]
// What stands in rows past the last never reaches a result.
struct PanelRows {
  std::byte* digits = nullptr;
  float* scales = nullptr;
  int rows = 0;
  int num_digits = 2;

  int units() const { return NumUnits(rows, num_digits); }
  int padded_rows() const { return units() * UnitRows(num_digits); }
};

int64_t PanelDigitBytes(const BlockList& list, int rows, int num_digits);
int64_t PanelRowBytes(const BlockList& list, int rows, int num_digits);

struct Int4Panel {
  const std::byte* tiles = nullptr;  // consecutive records
  int64_t tile_bytes = 0;
  int num_tiles = 0;  // 1 to kPanelTiles
  DType scale_dtype = DType::kF16;
  const BlockList& list;
  const PanelRows& x;
  std::byte* workspace = nullptr;  // PanelWorkspace::bytes, aligned to 64
  uint8_t* marks = nullptr;        // [x.rows], set to 1 where one does not fit
};

// What a thread needs while it multiplies, all aligned to 64 bytes. base may be
// null: then only `bytes` counts.
struct PanelWorkspace {
  PanelWorkspace(std::byte* base, int padded_rows);

  int32_t* products = nullptr;   // [2][2][16][16], as tiles leave them
  std::byte* weights = nullptr;  // [tile][block][step] matrices of q - z
  float* scales = nullptr;       // [tile][block][16], times 2^28
  uint8_t* marks = nullptr;      // [padded_rows]
  int64_t* sums = nullptr;       // [unit][tile][UnitRows][16]
  int64_t bytes = 0;
};

struct PanelKernels {
  // Puts one row, as ActivationKernels::digits made it, in its place.
  void (*arrange)(const BlockList& list, const int16_t* digits,
                  const float* scales, int row, const PanelRows& to);
  // The sums of the contributions in units of 2^-28, [units][num_tiles]
  // [UnitRows][16], in the workspace. By [num_digits - 1][check].
  const int64_t* (*multiply[2][2])(const Int4Panel& panel);
};

// Null where the instruction set has none.
const PanelKernels* PanelKernelsFor(Isa isa);

}  // namespace quatrain
