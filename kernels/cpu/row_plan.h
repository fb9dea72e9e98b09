#pragma once

#include <cstdint>

#include "kernels/cpu/int4_matmul.h"
#include "kernels/cpu/isa.h"

namespace quatrain {

// What products cost: cycles of one thread for a block of 128 k and 16 outputs,
// weights in the second-level cache (docs/cpu.md has the table, measured by
// tests/kernels/kernel_cycles.cc).
struct RowCosts {
  int rows[kRowGroup] = {};  // by the row kernel of 1 to 8 rows
  int unit = 0;    // by matrix tiles, per unit of rows (int4_panel.h); 0: none
  int expand = 0;  // by matrix tiles, once for all rows
};

// How the rows of a chunk are multiplied: all by matrix tiles, or in passes of
// so many rows, the last of which may have fewer.
struct RowPlan {
  bool by_panel = false;
  int rows_per_pass = 1;
};

const RowCosts& RowCostsOf(Isa isa, int num_digits);

// The cheapest plan for rows >= 1, and of those within 2 % the one of fewest
// passes; by matrix tiles, where they are cheaper still.
RowPlan PlanRows(const RowCosts& costs, int rows, int unit_rows);

}  // namespace quatrain
