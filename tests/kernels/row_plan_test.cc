#include "kernels/cpu/row_plan.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

constexpr Isa kIsas[] = {Isa::kAvx2, Isa::kAvx512,      Isa::kAvx512Vnni,
                         Isa::kAmx,  Isa::kAmxEmulated, Isa::kNeon};

// What a plan costs, counted pass by pass.
int64_t Cost(const RowCosts& costs, const RowPlan& plan, int rows,
             int unit_rows) {
  if (plan.by_panel)
    return costs.expand +
           int64_t{(rows + unit_rows - 1) / unit_rows} * costs.unit;
  int64_t cost = 0;
  for (int left = rows; left > 0; left -= plan.rows_per_pass)
    cost += costs.rows[std::min(left, plan.rows_per_pass) - 1];
  return cost;
}

TEST(RowPlanTest, NoOtherPlanIsCheaperByMoreThanTwoPercent) {
  for (const Isa isa : kIsas) {
    for (const int digits : {1, 2}) {
      const RowCosts& costs = RowCostsOf(isa, digits);
      const int unit = digits == 2 ? 16 : 32;
      for (int rows = 1; rows <= 600; ++rows) {
        const RowPlan plan = PlanRows(costs, rows, unit);
        const int64_t cost = Cost(costs, plan, rows, unit);
        for (int n = 1; n <= kRowGroup; ++n)
          EXPECT_LE(cost * 100, Cost(costs, {false, n}, rows, unit) * 102)
              << Name(isa) << " " << rows;
        if (costs.unit > 0) {
          EXPECT_LE(cost, Cost(costs, {true, 1}, rows, unit));
        }
      }
    }
  }
}

TEST(RowPlanTest, OnePassForUpToEightRows) {
  for (int rows = 1; rows <= kRowGroup; ++rows)
    EXPECT_EQ(PlanRows(RowCostsOf(Isa::kAvx512Vnni, 2), rows, 16).rows_per_pass,
              rows);
}

TEST(RowPlanTest, MatrixTilesTakeOverWhereTheyAreCheaper) {
  const RowCosts costs = {{10, 20, 30, 40, 50, 60, 70, 80}, 60, 30};
  EXPECT_FALSE(PlanRows(costs, 8, 16).by_panel);  // 80 against 90
  EXPECT_FALSE(PlanRows(costs, 9, 16).by_panel);  // 90 against 90
  EXPECT_TRUE(PlanRows(costs, 10, 16).by_panel);  // 100 against 90
  EXPECT_TRUE(PlanRows(costs, 17, 16).by_panel);  // 170 against 150
  EXPECT_FALSE(PlanRows({{10, 20, 30, 40, 50, 60, 70, 80}}, 99, 16).by_panel);
  for (const Isa isa : {Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vnni, Isa::kNeon})
    EXPECT_FALSE(PlanRows(RowCostsOf(isa, 2), 512, 16).by_panel);
  EXPECT_TRUE(PlanRows(RowCostsOf(Isa::kAmx, 2), 512, 16).by_panel);
  EXPECT_TRUE(PlanRows(RowCostsOf(Isa::kAmx, 1), 512, 32).by_panel);
}

}  // namespace
}  // namespace quatrain
