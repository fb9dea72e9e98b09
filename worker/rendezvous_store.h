#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"

namespace quatrain {

// Where ranks leave their addresses for each other while communicators form.
// Thread-safe: the ranks of a process share one.
class KeyValueStore {
 public:
  virtual ~KeyValueStore() = default;

  virtual absl::Status Put(const std::string& key,
                           const std::string& value) = 0;

  // Waits until the key exists. DeadlineExceeded naming the key otherwise.
  virtual absl::StatusOr<std::string> Get(
      const std::string& key, std::chrono::milliseconds timeout) = 0;

  // Waits until all keys exist. DeadlineExceeded naming one that does not.
  virtual absl::Status Wait(const std::vector<std::string>& keys,
                            std::chrono::milliseconds timeout) = 0;
};

// A store for the ranks of one process.
class MemoryKeyValueStore final : public KeyValueStore {
 public:
  absl::Status Put(const std::string& key, const std::string& value) override;
  absl::StatusOr<std::string> Get(const std::string& key,
                                  std::chrono::milliseconds timeout) override;
  absl::Status Wait(const std::vector<std::string>& keys,
                    std::chrono::milliseconds timeout) override;

 private:
  absl::Status WaitLocked(const std::string& key,
                          std::chrono::steady_clock::time_point deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::string> values_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quatrain
