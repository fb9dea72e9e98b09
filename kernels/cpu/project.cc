#include "kernels/cpu/project.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "kernels/exact_sum.h"

namespace quatrain {
namespace {

bool IsPartial(LinearRole role) {
  return role == LinearRole::kO || role == LinearRole::kDown;
}

// Rows of digits one after the other from `base`.
DigitRows DigitRowsAt(const BlockList& list, std::byte* base) {
  const int64_t row_bytes = DigitRowBytes(list);
  std::byte* tail = base + DigitBytes(list);
  return {.digits = reinterpret_cast<int16_t*>(base),
          .digit_stride = row_bytes / 2,
          .scales = reinterpret_cast<float*>(tail),
          .sums = reinterpret_cast<int32_t*>(tail) + list.num_blocks(),
          .block_stride = row_bytes / 4};
}

}  // namespace

// Some rows on their way through one linear. Rows count from 0 in the chunk.
struct Projector::Chunk {
  const CpuLinear& linear;
  const Norm* norm;
  const std::function<const float*(int)>& row;  // by first_row + r
  int first_row;
  int num_rows;
  const ScratchShape& shape;
  std::byte* scratch;
  MatrixView out;  // of the chunk
  RowPlan plan;
  int num_digits;

  std::vector<const float*> x;  // after the norm
  std::vector<uint8_t> check;   // the row may have contributions of 2^23
  std::vector<uint8_t> marks;   // [threads + 1, num_rows]

  float* normed(int r) const {
    return reinterpret_cast<float*>(scratch + shape.normed) +
           int64_t{r} * shape.widths.input;
  }
  float* gate_up(int r) const {
    return reinterpret_cast<float*>(scratch + shape.gate_up) +
           int64_t{r} * shape.widths.gate_up;
  }
  uint8_t& mark(int thread, int r) { return marks[thread * num_rows + r]; }
  DigitRows Digits(const BlockList& list) const {
    return DigitRowsAt(list, scratch + shape.digits);
  }
  PanelRows Panels(const BlockList& list) const {
    std::byte* base = scratch + shape.digits;
    return {.digits = base,
            .scales = reinterpret_cast<float*>(
                base + PanelDigitBytes(list, num_rows, num_digits)),
            .rows = num_rows,
            .num_digits = num_digits};
  }
  // A thread's own memory; attention never runs meanwhile.
  std::byte* ThreadScratch(int thread) const {
    return scratch + shape.per_thread + thread * shape.thread_bytes;
  }
  // Where the f32 outputs of row r go.
  float* Outputs(int r) const {
    return linear.role == LinearRole::kGateUp ? gate_up(r) : out.row<float>(r);
  }
};

void Projector::Run(int num_rows, const std::function<const float*(int)>& row,
                    const Norm* norm, const CpuLinear& linear,
                    const ScratchShape& shape, std::byte* scratch,
                    MatrixView out) const {
  if (linear.parts.empty()) {  // no part of it here, or no input
    const int64_t row_bytes = int64_t{out.cols} * SizeOf(out.dtype);
    for (int r = 0; row_bytes > 0 && r < num_rows; ++r)
      std::memset(out.row<std::byte>(0) +
                      int64_t{r} * out.row_stride * SizeOf(out.dtype),
                  0, row_bytes);
    return;
  }
  const int lists = static_cast<int>(linear.lists.size());
  int count = 0;
  for (int first = 0; first < num_rows; first += count) {
    const RowPlan plan = Plan(linear, shape, num_rows - first, &count);
    MatrixView part = out;
    part.data = out.row<std::byte>(0) +
                int64_t{first} * out.row_stride * SizeOf(out.dtype);
    part.rows = count;
    Chunk chunk{linear, norm,    row,  first, count,
                shape,  scratch, part, plan,  num_digits_};
    chunk.x.resize(count);
    chunk.check.resize(count);
    chunk.marks.resize((pool_.threads() + 1) * count);
    for (int list = 0; list < lists; ++list) {
      Prepare(chunk, list);
      pool_.Run([&](int thread) { MultiplyTiles(chunk, list, thread); });
    }
    Finish(chunk);
  }
}

RowPlan Projector::Plan(const CpuLinear& linear, const ScratchShape& shape,
                        int rows, int* count) const {
  const int unit_rows = UnitRows(num_digits_);
  const bool int4 = std::ranges::any_of(linear.parts, &CpuPart::is_int4);
  const bool has_panels =
      panels_ != nullptr && int4 && linear.max_scale < kPanelScaleLimit;
  if (has_panels) {
    *count = rows;
    for (const BlockList& list : linear.lists)
      *count = std::min(*count, shape.PanelRowsOf(list, num_digits_));
    if (*count >= std::min(rows, unit_rows)) {
      const RowPlan plan = PlanRows(costs_, *count, unit_rows);
      if (plan.by_panel) return plan;
    }
  }
  int in_passes = rows;
  for (const BlockList& list : linear.lists)
    in_passes = std::min(in_passes, shape.RowsOf(list));
  *count = in_passes;
  return {.rows_per_pass =
              PlanRows(costs_, in_passes, unit_rows).rows_per_pass};
}

void Projector::Prepare(Chunk& chunk, int list) const {
  pool_.ParallelFor(chunk.num_rows,
                    [&](int64_t begin, int64_t end, int thread) {
                      for (int64_t r = begin; r < end; ++r)
                        PrepareRow(chunk, list, static_cast<int>(r), thread);
                    });
}

void Projector::PrepareRow(Chunk& chunk, int list, int r, int thread) const {
  const CpuLinear& linear = chunk.linear;
  if (list == 0) {
    chunk.x[r] = chunk.row(chunk.first_row + r);
    if (chunk.norm != nullptr) {
      activations_.rms_norm(chunk.x[r], chunk.norm->weight.data(),
                            chunk.norm->eps, linear.num_cols, chunk.normed(r));
      chunk.x[r] = chunk.normed(r);
    }
  }
  const BlockList& blocks = linear.lists[list];
  const DigitRows d = chunk.plan.by_panel
                          ? DigitRowsAt(blocks, chunk.ThreadScratch(thread))
                          : chunk.Digits(blocks).From(r);
  auto* digits = const_cast<int16_t*>(d.digits);
  const RowRange range = activations_.digits(
      chunk.x[r], blocks, num_digits_ == 1 ? kMaxOneDigit : kMaxDigits, digits,
      const_cast<float*>(d.scales), const_cast<int32_t*>(d.sums));
  if (chunk.plan.by_panel)
    panels_->arrange(blocks, digits, d.scales, r, chunk.Panels(blocks));
  else if (int4_.arrange != nullptr)
    int4_.arrange(digits, blocks.num_digits);
  chunk.check[r] = !(range.max_abs * linear.max_scale < kNoCheckBelow &&
                     range.max_abs < kNoOverflowBelow);
  if (!range.finite) chunk.mark(pool_.threads(), r) = 1;
}

void Projector::MultiplyTiles(Chunk& chunk, int list, int thread) const {
  // Each part is shared out alike, so that a thread meets the tiles that it
  // packed.
  for (const CpuPart& part : chunk.linear.parts) {
    if (part.list != list) continue;
    const auto [begin, end] = pool_.Share(part.num_tiles(), thread);
    if (chunk.plan.by_panel && part.is_int4) {
      for (int64_t tile = begin; tile < end; tile += kPanelTiles)
        MultiplyPanel(
            chunk, part, tile,
            static_cast<int>(std::min<int64_t>(kPanelTiles, end - tile)),
            thread);
      continue;
    }
    for (int64_t tile = begin; tile < end; ++tile)
      MultiplyTile(chunk, part, tile, thread);
  }
}

void Projector::MultiplyPanel(Chunk& chunk, const CpuPart& part, int64_t tile,
                              int num_tiles, int thread) const {
  const PanelRows x = chunk.Panels(chunk.linear.lists[part.list]);
  const bool any = std::any_of(chunk.check.begin(), chunk.check.end(),
                               [](uint8_t check) { return check != 0; });
  const int64_t* sums = panels_->multiply[num_digits_ - 1][any](
      {.tiles = part.tile(tile),
       .tile_bytes = part.tile_bytes,
       .num_tiles = num_tiles,
       .scale_dtype = part.scale_dtype,
       .list = chunk.linear.lists[part.list],
       .x = x,
       .workspace = chunk.ThreadScratch(thread),
       .marks = &chunk.mark(thread, 0)});
  const int unit_rows = UnitRows(num_digits_);
  for (int r = 0; r < chunk.num_rows; r += unit_rows)
    for (int t = 0; t < num_tiles; ++t, sums += unit_rows * kTileRows)
      StoreSums(chunk, part, tile + t, r,
                std::min(unit_rows, chunk.num_rows - r), sums);
}

void Projector::MultiplyTile(Chunk& chunk, const CpuPart& part, int64_t tile,
                             int thread) const {
  const BlockList& blocks = chunk.linear.lists[part.list];
  const DigitRows digits = chunk.Digits(blocks);
  alignas(64) int64_t sums[kRowGroup * kTileRows];
  const int per_pass = chunk.plan.rows_per_pass;
  for (int r = 0; r < chunk.num_rows; r += per_pass) {
    const int count = std::min(per_pass, chunk.num_rows - r);
    uint32_t marks = 0;
    if (part.is_int4) {
      const uint8_t* check = chunk.check.data() + r;
      const bool any =
          std::any_of(check, check + count, [](uint8_t c) { return c != 0; });
      const auto& tiles = num_digits_ == 1 ? int4_.one_digit : int4_.tile;
      marks = tiles[count - 1][any]({part.tile(tile), part.scale_dtype}, blocks,
                                    digits.From(r), sums);
    } else {
      // Rows after the first stand at a common stride, with or without norm.
      const ptrdiff_t stride =
          count > 1 ? chunk.x[r + 1] - chunk.x[r] : ptrdiff_t{0};
      marks = dense_.Of(part.dense_dtype)[count - 1](part.tile(tile), blocks,
                                                     chunk.x[r], stride, sums);
    }
    for (int i = 0; i < count; ++i)
      if (marks >> i & 1) chunk.mark(thread, r + i) = 1;
    StoreSums(chunk, part, tile, r, count, sums);
  }
}

// sums: [count, 16] of one tile.
void Projector::StoreSums(Chunk& chunk, const CpuPart& part, int64_t tile,
                          int row, int count, const int64_t* sums) const {
  const CpuLinear& linear = chunk.linear;
  const int first_output = static_cast<int>(tile) * kTileRows;
  const int outputs = std::min(kTileRows, part.rows - first_output);
  const int column = part.first_row + first_output;
  for (int i = 0; i < count; ++i, sums += kTileRows) {
    if (IsPartial(linear.role)) {
      std::copy_n(sums, outputs, chunk.out.row<int64_t>(row + i) + column);
      continue;
    }
    float* to = chunk.Outputs(row + i) + column;
    for (int n = 0; n < outputs; ++n) to[n] = FromFixed(sums[n]);
    if (linear.bias.empty()) continue;
    for (int n = 0; n < outputs; ++n) to[n] = to[n] + linear.bias[column + n];
  }
}

void Projector::Finish(Chunk& chunk) const {
  const CpuLinear& linear = chunk.linear;
  const int half = linear.num_rows / 2;
  pool_.ParallelFor(chunk.num_rows, [&](int64_t begin, int64_t end, int) {
    for (int r = static_cast<int>(begin); r < end; ++r) {
      uint8_t marked = 0;
      for (int t = 0; t <= pool_.threads(); ++t) marked |= chunk.mark(t, r);
      if (IsPartial(linear.role)) {
        chunk.out.row<int64_t>(r)[linear.num_rows] = marked;
        continue;
      }
      float* out = chunk.out.row<float>(r);
      if (linear.role == LinearRole::kGateUp && !marked) {
        const float* gate = chunk.gate_up(r);
        activations_.gate(gate, gate + half, half, out);
      }
      if (marked)
        std::fill_n(out,
                    linear.role == LinearRole::kGateUp ? half : linear.num_rows,
                    MarkedValue());
    }
  });
}

}  // namespace quatrain
