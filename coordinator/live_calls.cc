#include "coordinator/live_calls.h"

#include <utility>
#include <vector>

#include "coordinator/rich_status.h"

namespace quatrain {

absl::Status LiveCalls::Add(const std::string& request_id,
                            std::weak_ptr<LiveCall> call) {
  MutexLock lock(&mutex_);
  if (!calls_.emplace(request_id, std::move(call)).second)
    return DuplicateRequestId(request_id);
  return absl::OkStatus();
}

void LiveCalls::Remove(const std::string& request_id) {
  MutexLock lock(&mutex_);
  calls_.erase(request_id);
}

void LiveCalls::CheckTimes(absl::Time now) {
  // Outside the lock: dropping the last reference to a call calls Remove.
  std::vector<std::shared_ptr<LiveCall>> calls;
  {
    MutexLock lock(&mutex_);
    for (auto& [id, call] : calls_) {
      if (auto alive = call.lock()) calls.push_back(std::move(alive));
    }
  }
  for (const auto& call : calls) call->CheckTime(now);
}

size_t LiveCalls::size() {
  MutexLock lock(&mutex_);
  return calls_.size();
}

}  // namespace quatrain
