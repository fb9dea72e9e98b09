#include "kernels/cpu/row_plan.h"

#include <algorithm>

#include "base/check.h"

namespace quatrain {
namespace {

// Zen 4, by kernel_cycles. NEON: as AVX2.
constexpr RowCosts kAvx2Costs = {{156, 244, 363, 456, 553, 657, 795, 986}};
constexpr RowCosts kAvx512Costs = {{147, 227, 315, 399, 488, 571, 664, 742}};
constexpr RowCosts kVnniCosts = {{114, 177, 244, 314, 395, 476, 567, 636}};
constexpr RowCosts kVnniOneDigitCosts = {
    {95, 122, 154, 203, 240, 278, 318, 374}};

// Sapphire Rapids. The tiles by a prototype (two digits 202 to 219; one digit,
// twice the rows in a unit, by the ratio of its rates); the rest by what
// bandwidth leaves, so that tiles take over near 9 rows (18 with one digit), as
// they did there. To be replaced by kernel_cycles' where such a machine is at
// hand.
constexpr RowCosts kAmxCosts = {
    {90, 110, 140, 180, 220, 265, 305, 350}, 210, 150};
constexpr RowCosts kAmxOneDigitCosts = {
    {70, 80, 100, 120, 140, 165, 185, 210}, 320, 150};

}  // namespace

const RowCosts& RowCostsOf(Isa isa, int num_digits) {
  const bool one = num_digits == 1;
  switch (isa) {
    case Isa::kAvx512:
      return kAvx512Costs;
    case Isa::kAvx512Vnni:
      return one ? kVnniOneDigitCosts : kVnniCosts;
    case Isa::kAmx:
    case Isa::kAmxEmulated:
      return one ? kAmxOneDigitCosts : kAmxCosts;
    case Isa::kAvx2:
    case Isa::kNeon:
      break;
  }
  return kAvx2Costs;
}

RowPlan PlanRows(const RowCosts& costs, int rows, int unit_rows) {
  CHECK_GE(rows, 1);
  const auto cost_of = [&](int per_pass) {
    const int rest = rows % per_pass;
    return rows / per_pass * int64_t{costs.rows[per_pass - 1]} +
           (rest > 0 ? costs.rows[rest - 1] : 0);
  };
  const int most = std::min(rows, kRowGroup);
  int64_t least = cost_of(1);
  for (int n = 2; n <= most; ++n) least = std::min(least, cost_of(n));
  RowPlan plan;
  // Fewer passes win where the counts differ by less than they are worth.
  for (int n = 1; n <= most; ++n)
    if (cost_of(n) * 100 <= least * 102) plan.rows_per_pass = n;
  const int64_t units = (rows + unit_rows - 1) / unit_rows;
  plan.by_panel = costs.unit > 0 && units * costs.unit + costs.expand < least;
  return plan;
}

}  // namespace quatrain
