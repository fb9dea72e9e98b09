#include "coordinator/token_stream.h"

#include <algorithm>
#include <utility>

#include "coordinator/response_fold.h"

namespace quatrain {
namespace {

// A merged delta stays small enough to be sent.
constexpr size_t kMaxMergedBytes = 256 << 10;

}  // namespace

std::shared_ptr<TokenStream> TokenStream::Create(
    grpc::CallbackServerContext* context, Engine* engine,
    const CallOptions& options) {
  std::shared_ptr<TokenStream> stream(
      new TokenStream(context, engine, options));
  stream->self_ = stream;
  return stream;
}

void TokenStream::Push(std::vector<v1::GenerateStreamResponse> events) {
  MutexLock lock(&mutex_);
  if (closed_) return;
  for (auto& event : events) Append(std::move(event));
  Advance();
}

void TokenStream::Append(v1::GenerateStreamResponse event) {
  const bool full = pending_.size() >= options_.max_pending_events;
  if (full && event.has_delta() && pending_.back().has_delta()) {
    v1::Delta* last = pending_.back().mutable_delta();
    const size_t bytes = last->ByteSizeLong() + event.delta().ByteSizeLong();
    if (last->choice_index() == event.delta().choice_index() &&
        bytes < std::min(kMaxMergedBytes, options_.max_message_bytes / 2))
      return MergeDelta(event.delta(), last);
  }
  pending_.push_back(std::move(event));
}

void TokenStream::Advance() {
  if (writing_ || finished_) return;
  if (!pending_.empty()) return WriteNext();
  if (!closed_) return;
  finished_ = true;
  waiting_since_ = absl::Now();
  Finish(FinalStatus());
}

void TokenStream::WriteNext() {
  const size_t bytes = pending_.front().ByteSizeLong();
  if (bytes + 16 > options_.max_message_bytes) return FailTooLarge(bytes);
  message_ = std::move(pending_.front());
  pending_.pop_front();
  message_.set_sequence(++last_sequence_);
  writing_ = true;
  waiting_since_ = absl::Now();
  StartWrite(&message_);
}

void TokenStream::DropPending() { pending_.clear(); }

void TokenStream::OnWriteDone(bool ok) {
  MutexLock lock(&mutex_);
  writing_ = false;
  waiting_since_.reset();
  if (!ok) DropPending();  // the client has gone: OnCancel ends the call
  Advance();
}

void TokenStream::OnDone() {
  MarkDone();
  const auto last_reference = std::move(self_);
}

}  // namespace quatrain
