#include "worker/await_key.h"

#include <algorithm>

#include "base/status_macros.h"

namespace quatrain {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

absl::StatusOr<std::string> AwaitKey(KeyValueStore* store,
                                     const std::string& key,
                                     const GroupFault& fault,
                                     Clock::time_point deadline) {
  constexpr milliseconds kLookup(500);
  while (true) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    auto value = store->Get(key, std::clamp(left, milliseconds(0), kLookup));
    if (!absl::IsDeadlineExceeded(value.status())) return value;
    RETURN_IF_ERROR(fault.status());
    if (Clock::now() >= deadline) return value;
  }
}

}  // namespace quatrain
