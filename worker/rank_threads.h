#pragma once

#include <functional>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "worker/rank.h"

namespace quatrain {

// Runs `job` for every rank of a process, each on a thread of its own, since
// ranks wait for each other, and returns when all have. The first error by
// order of rank, else OK.
absl::Status ForEachRank(std::span<const std::unique_ptr<Rank>> ranks,
                         const std::function<absl::Status(Rank&)>& job);

}  // namespace quatrain
