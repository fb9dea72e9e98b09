#pragma once

#include <map>
#include <memory>
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

// The calls that live, by request id. An id is free again when the call and its
// sequence are both gone. Thread-safe.
class LiveCalls {
 public:
  // AlreadyExists if a call of this id lives.
  absl::Status Add(const std::string& request_id, std::weak_ptr<LiveCall> call);
  // For the destructor of the call.
  void Remove(const std::string& request_id);

  void CheckTimes(absl::Time now);
  size_t size();

 private:
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<LiveCall>> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quatrain
