#include "coordinator/live_calls.h"

#include <utility>
#include <vector>

#include "coordinator/rich_status.h"

namespace quatrain {

absl::Status LiveCalls::Add(const std::string& request_id,
                            const std::shared_ptr<LiveCall>& call) {
  MutexLock lock(&mutex_);
  if (!ids_.insert(request_id).second) return DuplicateRequestId(request_id);
  calls_.emplace(call.get(), call);
  return absl::OkStatus();
}

void LiveCalls::ReleaseId(const std::string& request_id) {
  MutexLock lock(&mutex_);
  ids_.erase(request_id);
}

void LiveCalls::Remove(const LiveCall* call) {
  MutexLock lock(&mutex_);
  calls_.erase(call);
}

void LiveCalls::CheckTimes(absl::Time now) {
  // Outside the lock: dropping the last reference to a call calls Remove.
  std::vector<std::shared_ptr<LiveCall>> calls;
  {
    MutexLock lock(&mutex_);
    for (const auto& [key, call] : calls_) {
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
