#include "coordinator/rendezvous_store.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace quatrain {
namespace {

namespace pb = internal::v1;

// A rendezvous of hundreds of ranks stays far below.
constexpr size_t kMaxKeys = 1 << 16;
constexpr size_t kMaxBytes = 64 << 20;

pb::StoreReply ReplyTo(uint64_t request_id,
                       const absl::Status& status = absl::OkStatus()) {
  pb::StoreReply reply;
  reply.set_request_id(request_id);
  reply.set_code(static_cast<uint32_t>(status.code()));
  reply.set_message(std::string(status.message()));
  return reply;
}

}  // namespace

void RendezvousStore::Ask(const pb::StoreRequest& request, SteadyTime now,
                          Answer answer) {
  if (request.epoch() != epoch_) {
    answer(ReplyTo(request.request_id(),
                   absl::FailedPreconditionError(
                       absl::StrCat("rendezvous store: epoch ", request.epoch(),
                                    ", expected ", epoch_))));
    return;
  }
  if (request.has_put()) return Put(request, answer);
  Waiter waiter = {.request_id = request.request_id()};
  if (request.has_get()) {
    waiter.keys = {request.get().key()};
    waiter.wants_value = true;
    waiter.deadline = now + absl::Milliseconds(request.get().timeout_ms());
  } else {
    waiter.keys.assign(request.wait().keys().begin(),
                       request.wait().keys().end());
    waiter.deadline = now + absl::Milliseconds(request.wait().timeout_ms());
  }
  waiter.answer = std::move(answer);
  std::optional<pb::StoreReply> reply;
  {
    MutexLock lock(&mutex_);
    if (!aborted_.ok()) {
      reply = ReplyTo(waiter.request_id, aborted_);
    } else if (MissingKey(waiter) == nullptr) {
      reply = Found(waiter);
    } else {
      waiters_.push_back(waiter);
    }
  }
  if (reply) waiter.answer(*std::move(reply));
}

void RendezvousStore::Put(const pb::StoreRequest& request,
                          const Answer& answer) {
  std::vector<std::pair<Answer, pb::StoreReply>> answers;
  {
    MutexLock lock(&mutex_);
    answers.emplace_back(
        answer, ReplyTo(request.request_id(), PutLocked(request.put())));
    for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
      if (MissingKey(*waiter) != nullptr) {
        ++waiter;
        continue;
      }
      answers.emplace_back(waiter->answer, Found(*waiter));
      waiter = waiters_.erase(waiter);
    }
  }
  for (auto& [tell, reply] : answers) tell(std::move(reply));
}

absl::Status RendezvousStore::PutLocked(const pb::StoreRequest::Put& put) {
  if (!aborted_.ok()) return aborted_;
  const auto old = values_.find(put.key());
  const bool is_new = old == values_.end();
  const size_t num_keys = values_.size() + (is_new ? 1 : 0);
  const size_t num_bytes = num_bytes_ + put.value().size() +
                           (is_new ? put.key().size() : 0) -
                           (is_new ? 0 : old->second.size());
  if (num_keys > kMaxKeys || num_bytes > kMaxBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("rendezvous store: ", values_.size(), " keys, ",
                     num_bytes_, " bytes: full"));
  }
  values_[put.key()] = put.value();
  num_bytes_ = num_bytes;
  return absl::OkStatus();
}

void RendezvousStore::Expire(SteadyTime now) {
  std::vector<std::pair<Answer, pb::StoreReply>> answers;
  {
    MutexLock lock(&mutex_);
    for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
      if (waiter->deadline > now) {
        ++waiter;
        continue;
      }
      answers.emplace_back(
          waiter->answer,
          ReplyTo(waiter->request_id,
                  absl::DeadlineExceededError(
                      absl::StrCat("rendezvous store: key \"",
                                   *MissingKey(*waiter), "\" did not come"))));
      waiter = waiters_.erase(waiter);
    }
  }
  for (auto& [tell, reply] : answers) tell(std::move(reply));
}

void RendezvousStore::Abort(const absl::Status& status) {
  CHECK(!status.ok());
  std::list<Waiter> waiters;
  {
    MutexLock lock(&mutex_);
    waiters.swap(waiters_);
    values_.clear();
    num_bytes_ = 0;
    aborted_ = status;
  }
  for (const Waiter& waiter : waiters)
    waiter.answer(ReplyTo(waiter.request_id, status));
}

const std::string* RendezvousStore::MissingKey(const Waiter& waiter) const {
  for (const std::string& key : waiter.keys)
    if (!values_.contains(key)) return &key;
  return nullptr;
}

pb::StoreReply RendezvousStore::Found(const Waiter& waiter) const {
  pb::StoreReply reply = ReplyTo(waiter.request_id);
  if (waiter.wants_value) reply.set_value(values_.at(waiter.keys.front()));
  return reply;
}

}  // namespace quatrain
