#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "worker/group_fault.h"
#include "worker/rendezvous_store.h"

namespace quatrain {

// The value of `key` as soon as some rank has put it. The fault's status if
// that is raised meanwhile, which a store knows nothing of; DeadlineExceeded
// naming the key.
absl::StatusOr<std::string> AwaitKey(
    KeyValueStore* store, const std::string& key, const GroupFault& fault,
    std::chrono::steady_clock::time_point deadline);

}  // namespace quatrain
