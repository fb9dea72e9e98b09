#pragma once

#include <vector>

#include "model/range.h"

namespace quatrain {

// The blocks of the exact sums (docs/numerics.md) of a linear with K = `k`
// inputs, as their ends, ascending, the last one k: a block ends at every
// multiple of 128, at every multiple of group_size (0: dense, or one group for
// all) and, for o, of head_dim (0 elsewhere). Positions are absolute: a rank's
// cut plays no part.
std::vector<int> KBlockEnds(int k, int group_size, int head_dim);

// The blocks inside `part`, as ends relative to part.begin. Both ends of `part`
// must be block ends (or 0), or it is our bug.
std::vector<int> BlocksWithin(const std::vector<int>& block_ends, Range part);

}  // namespace quatrain
