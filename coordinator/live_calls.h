#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace quatrain {

// A call that somebody waits for, or whose sequence has not ended.
class LiveCall {
 public:
  virtual ~LiveCall() = default;

  // Called now and then: ends the call if it has run for too long, or if its
  // client takes nothing.
  virtual void CheckTime(absl::Time now) = 0;
};

// The calls that live, and their request ids. Thread-safe.
class LiveCalls {
 public:
  // AlreadyExists if a live call has this id.
  absl::Status Add(const std::string& request_id,
                   const std::shared_ptr<LiveCall>& call);
  // The id may be used again.
  void ReleaseId(const std::string& request_id);
  // For the destructor of the call.
  void Remove(const LiveCall* call);

  void CheckTimes(absl::Time now);
  size_t size();

 private:
  Mutex mutex_;
  std::set<std::string> ids_ ABSL_GUARDED_BY(mutex_);
  std::map<const LiveCall*, std::weak_ptr<LiveCall>> calls_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace quatrain
