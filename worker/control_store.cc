#include "worker/control_store.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quatrain {
namespace {

// The coordinator answers a wait at its timeout; this much later we stop.
constexpr std::chrono::milliseconds kReplyAllowance(2000);

uint32_t Milliseconds(std::chrono::milliseconds timeout) {
  return static_cast<uint32_t>(std::max<int64_t>(0, timeout.count()));
}

}  // namespace

void ControlStore::SetEpoch(uint64_t epoch) {
  MutexLock lock(&mutex_);
  epoch_ = epoch;
}

void ControlStore::OnReply(const internal::v1::StoreReply& reply) {
  MutexLock lock(&mutex_);
  const auto waiting = replies_.find(reply.request_id());
  if (waiting == replies_.end()) return;
  waiting->second = reply;
  changed_.SignalAll();
}

void ControlStore::Close(absl::Status status) {
  MutexLock lock(&mutex_);
  if (closed_.ok()) closed_ = std::move(status);
  changed_.SignalAll();
}

absl::Status ControlStore::Put(const std::string& key,
                               const std::string& value) {
  internal::v1::StoreRequest request;
  request.mutable_put()->set_key(key);
  request.mutable_put()->set_value(value);
  return Ask(std::move(request), kReplyAllowance).status();
}

absl::StatusOr<std::string> ControlStore::Get(
    const std::string& key, std::chrono::milliseconds timeout) {
  internal::v1::StoreRequest request;
  request.mutable_get()->set_key(key);
  request.mutable_get()->set_timeout_ms(Milliseconds(timeout));
  return Ask(std::move(request), timeout);
}

absl::Status ControlStore::Wait(const std::vector<std::string>& keys,
                                std::chrono::milliseconds timeout) {
  internal::v1::StoreRequest request;
  for (const std::string& key : keys) request.mutable_wait()->add_keys(key);
  request.mutable_wait()->set_timeout_ms(Milliseconds(timeout));
  return Ask(std::move(request), timeout).status();
}

absl::StatusOr<std::string> ControlStore::Ask(
    internal::v1::StoreRequest request, std::chrono::milliseconds timeout) {
  uint64_t id = 0;
  {
    MutexLock lock(&mutex_);
    if (!closed_.ok()) return closed_;
    id = next_request_++;
    request.set_request_id(id);
    request.set_epoch(epoch_);
    replies_[id] = std::nullopt;
  }
  send_(std::move(request));

  const auto deadline =
      std::chrono::steady_clock::now() + timeout + kReplyAllowance;
  MutexLock lock(&mutex_);
  while (closed_.ok() && !replies_[id]) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left.count() <= 0) break;
    changed_.WaitFor(&mutex_, left);
  }
  const std::optional<internal::v1::StoreReply> reply = replies_[id];
  replies_.erase(id);
  if (!reply)
    return closed_.ok()
               ? absl::DeadlineExceededError(
                     "rendezvous store: the coordinator did not answer")
               : closed_;
  if (reply->code() != 0)
    return absl::Status(static_cast<absl::StatusCode>(reply->code()),
                        reply->message());
  return reply->value();
}

}  // namespace quatrain
