#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "quatrain/internal/v1/group.pb.h"
#include "worker/rendezvous_store.h"

namespace quatrain {

// The rendezvous store that the coordinator holds, asked through the control
// stream. Thread-safe.
class ControlStore final : public KeyValueStore {
 public:
  using Send = std::function<void(internal::v1::StoreRequest)>;

  explicit ControlStore(Send send) : send_(std::move(send)) {}

  // Of the requests to come.
  void SetEpoch(uint64_t epoch);
  // An answer arrived. Answers that nobody waits for are dropped.
  void OnReply(const internal::v1::StoreReply& reply);
  // The stream ended: every request, also later ones, fails with `status`.
  void Close(absl::Status status);

  absl::Status Put(const std::string& key, const std::string& value) override;
  absl::StatusOr<std::string> Get(const std::string& key,
                                  std::chrono::milliseconds timeout) override;
  absl::Status Wait(const std::vector<std::string>& keys,
                    std::chrono::milliseconds timeout) override;

 private:
  absl::StatusOr<std::string> Ask(internal::v1::StoreRequest request,
                                  std::chrono::milliseconds timeout);

  const Send send_;
  Mutex mutex_;
  CondVar changed_;
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_request_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
  // Answers by request, for requests that somebody waits for.
  std::map<uint64_t, std::optional<internal::v1::StoreReply>> replies_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace quatrain
