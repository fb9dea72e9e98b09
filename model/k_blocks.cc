#include "model/k_blocks.h"

#include <algorithm>
#include <cstdint>

#include "base/check.h"

namespace quatrain {
namespace {

constexpr int kMaxBlock = 128;

// The first multiple of `step` after `position`; 0 is no step.
int64_t NextMultiple(int64_t position, int64_t step, int64_t none) {
  return step == 0 ? none : (position / step + 1) * step;
}

}  // namespace

std::vector<int> KBlockEnds(int k, int group_size, int head_dim) {
  std::vector<int> ends;
  for (int64_t end = 0; end < k;) {
    end = std::min({int64_t{k}, NextMultiple(end, kMaxBlock, k),
                    NextMultiple(end, group_size, k),
                    NextMultiple(end, head_dim, k)});
    ends.push_back(static_cast<int>(end));
  }
  return ends;
}

std::vector<int> BlocksWithin(const std::vector<int>& block_ends, Range part) {
  std::vector<int> within;
  int begin = 0;
  for (const int end : block_ends) {
    if (begin >= part.begin && end <= part.end && begin < part.end)
      within.push_back(end - part.begin);
    begin = end;
  }
  const bool whole =
      part.empty() ? within.empty()
                   : !within.empty() && within.back() == part.size() &&
                         (part.begin == 0 ||
                          std::binary_search(block_ends.begin(),
                                             block_ends.end(), part.begin));
  CHECK(whole) << "[" << part.begin << ", " << part.end
               << ") cuts a block of the exact sums";
  return within;
}

}  // namespace quatrain
