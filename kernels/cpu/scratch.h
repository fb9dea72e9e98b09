#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/int4_record.h"

namespace quatrain {

// Rows of activations that are prepared together: enough to read weights
// seldom, few enough for their digits to stay in the second-level cache.
inline constexpr int kChunkRows = 64;

// Query rows that attend together, and the largest head.
inline constexpr int kAttentionRows = 32;
inline constexpr int kMaxHeadDim = 512;

// How one allocation is divided: byte offsets, all multiples of 64.
struct ScratchShape {
  ScratchShape(int max_tokens, int max_width, int threads);

  // How many rows of `list` fit the digits, at least 1, at most kChunkRows.
  int RowsOf(const BlockList& list) const;

  int chunk_rows = 0;
  int width = 0;
  int64_t normed = 0;     // f32 [chunk_rows, width]
  int64_t gate_up = 0;    // f32 [chunk_rows, width]
  int64_t digits = 0;     // rows of DigitRowBytes()
  int64_t attention = 0;  // per thread attention_bytes
  int64_t partials = 0;   // of long sequences that several threads share
  int64_t attention_bytes = 0;
  int64_t partial_bytes = 0;
  int64_t total_bytes = 0;
};

// One row's digits, then scales, then sums; multiples of 64 bytes, and not of
// 4096, so that rows do not meet in the same cache sets.
int64_t DigitBytes(const BlockList& list);
int64_t DigitRowBytes(const BlockList& list);

}  // namespace quatrain
