#include "kernels/cuda/int4_medium_plan.h"

#include <algorithm>

namespace quatrain::cuda {
namespace {

int CeilDiv(int a, int b) { return (a + b - 1) / b; }

constexpr int kMostSplits = 8;  // the last to arrive reads what all have left

// The time of blocks of threads with each / num_splits of the k, in halves of
// the time that one block of k takes: filling a pipeline 2, a meeting 3, the
// sums of another split one half. Arithmetic, not yet measured.
int Cost(int places, int num_splits, int num_blocks, int num_sms) {
  const int waves = CeilDiv(places * num_splits, num_sms);
  const int each = 2 + CeilDiv(num_blocks, num_splits);
  return 2 * waves * each + (num_splits > 1 ? 6 + num_splits : 0);
}

int NumSplits(int places, int num_blocks, int num_sms) {
  int best = 1;
  for (int splits = 2; splits <= std::min(kMostSplits, num_blocks); ++splits)
    if (places * splits <= MostMediumParts(num_sms) &&
        Cost(places, splits, num_blocks, num_sms) <
            Cost(places, best, num_blocks, num_sms))
      best = splits;
  return best;
}

}  // namespace

MediumPlan PlanMedium(const MediumShape& shape, int num_sms, bool can_split) {
  using namespace medium;
  const int cols = CeilDiv(shape.num_tokens, BlockTokens(shape.num_digits));
  // Smaller tiles where large ones would leave some of the chip idle.
  if (cols * CeilDiv(shape.num_tiles, 2 * kWarpRows) >= num_sms)
    return {2, 1, shape.num_blocks};
  const int places = cols * CeilDiv(shape.num_tiles, kWarpRows);
  const int splits =
      can_split ? NumSplits(places, shape.num_blocks, num_sms) : 1;
  const int each = CeilDiv(shape.num_blocks, splits);
  return {1, each == 0 ? 1 : CeilDiv(shape.num_blocks, each), each};
}

}  // namespace quatrain::cuda
