#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quatrain {

// Reads --max-memory for a process of `num_ranks` CPU ranks: "cpu=SIZE" is the
// budget of the process, shared evenly; "0=SIZE,1=SIZE" gives each rank its
// own, and must name them all. Empty: DefaultMemoryBudget(), shared evenly.
// Sizes are ParseByteSize's. Returns the limit of each rank in bytes.
// InvalidArgument, naming the entry, for anything else.
absl::StatusOr<std::vector<int64_t>> ParseMaxMemory(const std::string& text,
                                                    int num_ranks);

}  // namespace quatrain
