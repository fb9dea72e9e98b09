#include "worker/process_hub.h"

#include "absl/strings/str_cat.h"

namespace quatrain {

void ProcessHub::Abort(const std::string& prefix, const absl::Status& status) {
  std::vector<std::shared_ptr<GroupFault>> faults;
  {
    MutexLock lock(&mutex_);
    aborted_.emplace(prefix, status);
    const auto [begin, end] = faults_.equal_range(prefix);
    for (auto it = begin; it != end; ++it) {
      if (auto fault = it->second.lock()) faults.push_back(std::move(fault));
    }
    faults_.erase(begin, end);
  }
  // Without the lock: waking those who wait here takes it.
  for (const auto& fault : faults) fault->Raise(status);
}

void ProcessHub::Register(const std::string& prefix,
                          const std::shared_ptr<GroupFault>& fault) {
  absl::Status aborted;
  {
    MutexLock lock(&mutex_);
    std::erase_if(faults_, [](const auto& f) { return f.second.expired(); });
    faults_.emplace(prefix, fault);
    if (auto it = aborted_.find(prefix); it != aborted_.end()) {
      aborted = it->second;
    }
  }
  if (!aborted.ok()) fault->Raise(aborted);
}

absl::StatusOr<std::shared_ptr<void>> ProcessHub::MeetAny(
    const std::string& key, int num_ranks,
    const std::shared_ptr<GroupFault>& fault,
    std::chrono::steady_clock::time_point deadline,
    const std::function<std::shared_ptr<void>()>& make) {
  const FaultHook hook(fault, [this] {
    MutexLock lock(&mutex_);
    changed_.SignalAll();
  });
  MutexLock lock(&mutex_);
  std::shared_ptr<Meeting>& entry = meetings_[key];
  if (entry == nullptr) {
    entry = std::make_shared<Meeting>();
    entry->shared = make();
  }
  const std::shared_ptr<Meeting> meeting = entry;
  if (++meeting->num_present == num_ranks) {
    meetings_.erase(key);
    changed_.SignalAll();
  }
  while (meeting->num_present < num_ranks) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (!fault->raised() && left.count() > 0) {
      changed_.WaitFor(&mutex_, left);
      continue;
    }
    meetings_.erase(key);  // The attempt has failed for all.
    if (fault->raised()) return fault->status();
    return absl::DeadlineExceededError(
        absl::StrCat(key, ": ", meeting->num_present, " of ", num_ranks,
                     " ranks of this process came in time"));
  }
  return meeting->shared;
}

}  // namespace quatrain
