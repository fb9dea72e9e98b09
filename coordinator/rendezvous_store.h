#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "base/steady_time.h"
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
  void Ask(const internal::v1::StoreRequest& request, SteadyTime now,
           Answer answer);

  // Answers those whose time is over; to be called every now and then.
  void Expire(SteadyTime now);

  // Forgets all keys and answers what waits, and whatever is asked later, with
  // `status`, which must not be OK.
  void Abort(const absl::Status& status);

 private:
  struct Waiter {
    uint64_t request_id = 0;
    std::vector<std::string> keys;
    bool wants_value = false;
    SteadyTime deadline;
    Answer answer;
  };

  void Put(const internal::v1::StoreRequest& request, const Answer& answer);
  absl::Status PutLocked(const internal::v1::StoreRequest::Put& put)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const std::string* MissingKey(const Waiter& waiter) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  internal::v1::StoreReply Found(const Waiter& waiter) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t epoch_;
  Mutex mutex_;
  std::map<std::string, std::string> values_ ABSL_GUARDED_BY(mutex_);
  size_t num_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // keys and values
  absl::Status aborted_ ABSL_GUARDED_BY(mutex_);  // OK: not aborted
  std::list<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quatrain
