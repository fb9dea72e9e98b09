#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "quatrain/internal/v1/group.pb.h"

namespace quatrain {

// Where ranks leave their addresses for each other while communicators form:
// put, get and wait, fenced by epoch. Thread-safe; never waits itself.
class RendezvousStore {
 public:
  // Called once per request, perhaps before Ask returns, and never with a lock
  // held.
  using Answer = std::function<void(internal::v1::StoreReply)>;

  explicit RendezvousStore(uint64_t epoch) : epoch_(epoch) {}

  // Answers FAILED_PRECONDITION to another epoch, RESOURCE_EXHAUSTED to more
  // than a rendezvous needs, DEADLINE_EXCEEDED naming a key that did not come.
  void Ask(const internal::v1::StoreRequest& request, absl::Time now,
           Answer answer);

  // Answers those whose time is over; to be called every now and then.
  void Expire(absl::Time now);

  // Forgets all keys and answers what waits with `status`.
  void Abort(const absl::Status& status);

 private:
  struct Waiter {
    uint64_t request_id = 0;
    std::vector<std::string> keys;
    bool wants_value = false;
    absl::Time deadline;
    Answer answer;
  };

  void Put(const internal::v1::StoreRequest& request, const Answer& answer);
  const std::string* MissingKey(const Waiter& waiter) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  internal::v1::StoreReply Found(const Waiter& waiter) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t epoch_;
  Mutex mutex_;
  std::map<std::string, std::string> values_ ABSL_GUARDED_BY(mutex_);
  size_t value_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quatrain
