#include "coordinator/generation_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/rich_status.h"

namespace quatrain {
namespace {

// How long the step loop may take to end a sequence that is out of time, before
// its client is answered without it.
constexpr absl::Duration kGrace = absl::Seconds(1);

}  // namespace

GenerationCall::GenerationCall(grpc::CallbackServerContext* context,
                               Engine* engine, const CallOptions& options)
    : options_(options),
      engine_(engine),
      received_(absl::Now()),
      deadline_(std::min(absl::FromChrono(context->deadline()),
                         received_ + options.max_request_time)),
      context_(context) {}

GenerationCall::~GenerationCall() {
  if (!calls_) return;
  MutexLock lock(&mutex_);
  ReleaseId();
  calls_->Remove(this);
}

absl::Status GenerationCall::Claim(const std::string& request_id,
                                   std::shared_ptr<LiveCalls> calls,
                                   const std::shared_ptr<LiveCall>& self) {
  SetRequestId(request_id);
  RETURN_IF_ERROR(calls->Add(request_id, self));
  calls_ = std::move(calls);
  MutexLock lock(&mutex_);
  holds_id_ = true;
  return absl::OkStatus();
}

void GenerationCall::ReleaseId() {
  if (std::exchange(holds_id_, false)) calls_->ReleaseId(request_id_);
}

void GenerationCall::SetRequestId(const std::string& request_id) {
  MutexLock lock(&mutex_);
  request_id_ = request_id;
}

void GenerationCall::Submitted() {
  std::string gone;
  {
    MutexLock lock(&mutex_);
    if (cancel_sequence_) gone = request_id_;
  }
  if (!gone.empty()) engine_->Cancel(gone);
}

bool GenerationCall::closed() {
  MutexLock lock(&mutex_);
  return closed_;
}

void GenerationCall::Close(const absl::Status& status) {
  MutexLock lock(&mutex_);
  if (closed_) return;
  closed_ = true;
  status_ = status;
  if (out_of_time_ && !status.ok()) {
    status_ = WithMetadata(RequestTimeExceeded(options_.max_request_time),
                           MetadataOf(status));
  }
  Advance();
}

// Without what is pending, whatever the step loop says later.
void GenerationCall::EndWith(const absl::Status& status) {
  cancel_sequence_ = true;
  if (!closed_) status_ = status;
  closed_ = true;
  DropPending();
  Advance();
}

void GenerationCall::ClientGone() {
  std::string request_id;
  {
    MutexLock lock(&mutex_);
    EndWith(absl::CancelledError("the client cancelled, or went away"));
    request_id = request_id_;
  }
  engine_->Cancel(request_id);
}

void GenerationCall::MarkDone() {
  MutexLock lock(&mutex_);
  context_ = nullptr;
}

void GenerationCall::FailTooLarge(size_t bytes) {
  const absl::Status status = PayloadTooLarge(
      absl::StrCat("the answer has a message of ", bytes, " bytes, at most ",
                   options_.max_message_bytes,
                   " can be sent: ask for fewer log-probabilities or tokens"));
  closed_ = false;  // whatever was said before
  EndWith(status);
}

grpc::Status GenerationCall::FinalStatus() {
  // The step loop may not be finished with a sequence that nobody waits for.
  if (!cancel_sequence_) ReleaseId();
  return ToGrpcStatus(status_, request_id_);
}

void GenerationCall::CheckTime(absl::Time now) {
  std::string cancelled;
  {
    MutexLock lock(&mutex_);
    if (!context_) return;
    if (waiting_since_ && now - *waiting_since_ > options_.stall_timeout) {
      context_->TryCancel();  // gRPC answers with OnCancel
      waiting_since_.reset();
    }
    CheckLimit(now);
    if (cancel_sequence_ || out_of_time_) cancelled = request_id_;
  }
  if (!cancelled.empty()) engine_->Cancel(cancelled);
}

void GenerationCall::CheckLimit(absl::Time now) {
  const absl::Time limit = received_ + options_.max_request_time;
  if (closed_ || now < limit) return;
  out_of_time_ = true;
  if (now >= limit + kGrace)
    EndWith(RequestTimeExceeded(options_.max_request_time));
}

}  // namespace quatrain
