#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "worker/group_fault.h"

namespace quatrain {

// Where the ranks of one process meet while communicators form. One per
// process, outlives all communicators. Thread-safe.
class ProcessHub {
 public:
  // Ends the formation under `prefix` on all ranks of this process, also one
  // that begins later, and every communicator formed under it.
  void Abort(const std::string& prefix, const absl::Status& status);

  // For communicators.cc: makes `fault` reachable by Abort.
  void Register(const std::string& prefix,
                const std::shared_ptr<GroupFault>& fault);

  // For communicators.cc. The first of `num_ranks` ranks that comes for `key`
  // makes the object, all get the same one once the last has come.
  // DeadlineExceeded if not all come in time; the fault's status if it is
  // raised meanwhile.
  template <typename T>
  absl::StatusOr<std::shared_ptr<T>> Meet(
      const std::string& key, int num_ranks,
      const std::shared_ptr<GroupFault>& fault,
      std::chrono::steady_clock::time_point deadline,
      const std::function<std::shared_ptr<T>()>& make) {
    auto met = MeetAny(key, num_ranks, fault, deadline,
                       [&]() -> std::shared_ptr<void> { return make(); });
    if (!met.ok()) return met.status();
    return std::static_pointer_cast<T>(*std::move(met));
  }

 private:
  // One key's meeting. `shared` is owned by all who meet: none of them knows
  // who leaves last.
  struct Meeting {
    std::shared_ptr<void> shared;
    int num_present = 0;
  };

  absl::StatusOr<std::shared_ptr<void>> MeetAny(
      const std::string& key, int num_ranks,
      const std::shared_ptr<GroupFault>& fault,
      std::chrono::steady_clock::time_point deadline,
      const std::function<std::shared_ptr<void>()>& make);

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::shared_ptr<Meeting>> meetings_
      ABSL_GUARDED_BY(mutex_);
  std::multimap<std::string, std::weak_ptr<GroupFault>> faults_
      ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Status> aborted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quatrain
