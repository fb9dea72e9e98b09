#include "kernels/cpu/int4_panel.h"

#include "base/cache_line.h"
#include "kernels/exact_sum.h"

namespace quatrain {

int64_t PanelDigitBytes(const BlockList& list, int rows, int num_digits) {
  return int64_t{list.num_steps} * NumUnits(rows, num_digits) * 2 * kTileBytes;
}

int64_t PanelRowBytes(const BlockList& list, int rows, int num_digits) {
  const int64_t padded =
      int64_t{NumUnits(rows, num_digits)} * UnitRows(num_digits);
  return PanelDigitBytes(list, rows, num_digits) +
         WholeLines(4 * padded * list.num_blocks());
}

PanelWorkspace::PanelWorkspace(std::byte* base, int padded_rows) {
  constexpr int kBlocks = kPanelTiles * kPanelBlocks;
  constexpr int kMaxSteps = kMaxBlock / kStepK;
  const auto take = [&](int64_t size) {
    std::byte* from = base == nullptr ? nullptr : base + bytes;
    bytes += WholeLines(size);
    return from;
  };
  products = reinterpret_cast<int32_t*>(take(4 * kTileBytes));
  weights = take(int64_t{kBlocks} * kMaxSteps * kTileBytes);
  scales = reinterpret_cast<float*>(take(kBlocks * kTileRows * 4));
  marks = reinterpret_cast<uint8_t*>(take(padded_rows));
  sums = reinterpret_cast<int64_t*>(
      take(int64_t{padded_rows} * kPanelTiles * kTileRows * 8));
}

#if !defined(__x86_64__)
const PanelKernels* PanelKernelsFor(Isa) { return nullptr; }
#endif

}  // namespace quatrain
