#include "worker/rendezvous_store.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace quatrain {

using Clock = std::chrono::steady_clock;

absl::Status MemoryKeyValueStore::Put(const std::string& key,
                                      const std::string& value) {
  MutexLock lock(&mutex_);
  values_[key] = value;
  changed_.SignalAll();
  return absl::OkStatus();
}

absl::StatusOr<std::string> MemoryKeyValueStore::Get(
    const std::string& key, std::chrono::milliseconds timeout) {
  MutexLock lock(&mutex_);
  RETURN_IF_ERROR(WaitLocked(key, Clock::now() + timeout));
  return values_[key];
}

absl::Status MemoryKeyValueStore::Wait(const std::vector<std::string>& keys,
                                       std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  MutexLock lock(&mutex_);
  for (const std::string& key : keys) {
    RETURN_IF_ERROR(WaitLocked(key, deadline));
  }
  return absl::OkStatus();
}

absl::Status MemoryKeyValueStore::WaitLocked(const std::string& key,
                                             Clock::time_point deadline) {
  while (!values_.contains(key)) {
    const auto left = deadline - Clock::now();
    if (left.count() <= 0) {
      return absl::DeadlineExceededError(
          absl::StrCat("rendezvous key ", key, " was not set in time"));
    }
    changed_.WaitFor(&mutex_, left);
  }
  return absl::OkStatus();
}

}  // namespace quatrain
