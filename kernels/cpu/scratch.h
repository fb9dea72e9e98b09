#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/int4_record.h"
#include "kernels/record_size.h"

namespace quatrain {

// Rows of activations that are prepared together: enough to read weights
// seldom. Without matrix tiles fewer, so that their digits stay in the
// second-level cache.
inline constexpr int kChunkRows = 128;
inline constexpr int kPassRows = 64;

// Query rows that attend together, and the largest head.
inline constexpr int kAttentionRows = 32;
inline constexpr int kMaxHeadDim = 512;

// How one allocation is divided: byte offsets, all multiples of 64.
struct ScratchShape {
  ScratchShape(int max_tokens, const LinearWidths& widths, int threads);

  // How many rows of `list` fit the digits, at least 1, at most kPassRows.
  int RowsOf(const BlockList& list) const;
  // The same in the order of PanelRows, at most kChunkRows; may be 0.
  int PanelRowsOf(const BlockList& list, int num_digits) const;

  LinearWidths widths;
  int chunk_rows = 0;
  int64_t normed = 0;      // f32 [chunk_rows, widths.input]
  int64_t gate_up = 0;     // f32 [chunk_rows, widths.gate_up]
  int64_t digits = 0;      // rows of DigitRowBytes(), or PanelRowBytes() of all
  int64_t per_thread = 0;  // thread_bytes each: a task of attention, or in a
                           // product one row's digits, then a PanelWorkspace
  int64_t partials = 0;    // of long sequences that several threads share
  int64_t thread_bytes = 0;
  int64_t partial_bytes = 0;
  int64_t total_bytes = 0;
};

// One row's digits, then scales, then sums; multiples of 64 bytes, and not of
// 4096, so that rows do not meet in the same cache sets.
int64_t DigitBytes(const BlockList& list);
int64_t DigitRowBytes(const BlockList& list);

}  // namespace quatrain
