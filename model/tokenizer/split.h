#pragma once

#include <cstddef>
#include <vector>

#include "model/tokenizer/pre_tokenizer.h"

namespace quatrain {

// Cuts [0, size) at `matches` (in order, not overlapping) and appends what is
// left, in order; parts may be empty. `invert` swaps matches and gaps.
void SplitByMatches(size_t size, const std::vector<MatchRange>& matches,
                    bool invert, SplitBehavior behavior,
                    std::vector<MatchRange>* parts);

}  // namespace quatrain
