#include "worker/group_fault.h"

#include <utility>

#include "base/check.h"

namespace quatrain {

void GroupFault::Raise(absl::Status status, int peer_rank) {
  CHECK(!status.ok()) << "a fault needs a reason";
  {
    MutexLock lock(&status_mutex_);
    if (!status_.ok()) return;
    status_ = std::move(status);
    peer_rank_ = peer_rank;
    raised_.store(true, std::memory_order_release);
  }
  MutexLock lock(&hooks_mutex_);
  for (const auto& [id, wake] : hooks_) wake();
}

absl::Status GroupFault::status() const {
  if (!raised()) return absl::OkStatus();
  MutexLock lock(&status_mutex_);
  return status_;
}

int GroupFault::peer_rank() const {
  MutexLock lock(&status_mutex_);
  return peer_rank_;
}

int GroupFault::AddHook(std::function<void()> wake) {
  MutexLock lock(&hooks_mutex_);
  // Raised already: Raise() has run the hooks, or waits for the lock and will
  // run this one too. Waking twice does no harm.
  if (raised()) wake();
  const int id = next_hook_++;
  hooks_[id] = std::move(wake);
  return id;
}

void GroupFault::RemoveHook(int id) {
  MutexLock lock(&hooks_mutex_);
  hooks_.erase(id);
}

}  // namespace quatrain
