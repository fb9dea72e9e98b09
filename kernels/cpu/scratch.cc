#include "kernels/cpu/scratch.h"

#include <algorithm>

#include "base/cache_line.h"
#include "base/check.h"
#include "kernels/cpu/int4_panel.h"

namespace quatrain {
namespace {

// A task of one thread: a tile of K and of V, the rows' two states, one tile's
// output.
constexpr int64_t kAttentionBytes =
    int64_t{4} * kMaxHeadDim * (32 + 32 + 2 * kAttentionRows + 1) +
    4 * 4 * kAttentionRows;

constexpr int64_t kPartialBytes = 4 << 20;

}  // namespace

int64_t DigitBytes(const BlockList& list) {
  return WholeLines(list.num_digits * int64_t{2});
}

int64_t DigitRowBytes(const BlockList& list) {
  const int64_t bytes =
      DigitBytes(list) + WholeLines(list.num_blocks() * int64_t{8});
  return bytes % 4096 == 0 ? bytes + 64 : bytes;
}

ScratchShape::ScratchShape(int max_tokens, const LinearWidths& widths,
                           int threads)
    : widths(widths), chunk_rows(std::clamp(max_tokens, 1, kChunkRows)) {
  // Twice what blocks of usual lengths need; or one row of the worst, blocks
  // of one value each.
  const int64_t w = widths.input;
  const int64_t digit_bytes =
      std::max(chunk_rows * WholeLines(4 * w + 256), WholeLines(24 * w + 256));
  const int64_t unit = UnitRows(1);
  const int padded_rows = (chunk_rows + unit - 1) / unit * unit;
  thread_bytes = std::max(WholeLines(kAttentionBytes),
                          PanelWorkspace(nullptr, padded_rows).bytes);
  partial_bytes = threads > 1 ? kPartialBytes : 0;
  gate_up = normed + WholeLines(4 * chunk_rows * w);
  digits = gate_up + WholeLines(int64_t{4} * chunk_rows * widths.gate_up);
  per_thread = digits + digit_bytes;
  partials = per_thread + threads * thread_bytes;
  total_bytes = partials + partial_bytes;
}

int ScratchShape::RowsOf(const BlockList& list) const {
  const int64_t rows = (per_thread - digits) / DigitRowBytes(list);
  CHECK_GE(rows, 1) << "the digits of a row of " << list.num_digits;
  return static_cast<int>(
      std::min<int64_t>(rows, std::min(chunk_rows, kPassRows)));
}

int ScratchShape::PanelRowsOf(const BlockList& list, int num_digits) const {
  if (DigitRowBytes(list) > thread_bytes) return 0;  // of one row, first
  const int unit = UnitRows(num_digits);
  int rows = chunk_rows;
  while (rows > 0 &&
         PanelRowBytes(list, rows, num_digits) > per_thread - digits)
    rows = (rows - 1) / unit * unit;
  return rows;
}

}  // namespace quatrain
