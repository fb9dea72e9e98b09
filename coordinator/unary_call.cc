#include "coordinator/unary_call.h"

#include <utility>

#include "coordinator/response_fold.h"

namespace quatrain {

std::shared_ptr<UnaryCall> UnaryCall::Create(
    grpc::CallbackServerContext* context, Engine* engine,
    const CallOptions& options, v1::GenerateResponse* response) {
  std::shared_ptr<UnaryCall> call(new UnaryCall(context, engine, options));
  call->self_ = call;
  MutexLock lock(&call->mutex_);
  call->response_ = response;
  return call;
}

void UnaryCall::Push(std::vector<v1::GenerateStreamResponse> events) {
  MutexLock lock(&mutex_);
  if (closed_) return;
  for (const auto& event : events) Fold(event, response_);
}

void UnaryCall::Advance() {
  if (finished_ || !closed_) return;
  const size_t bytes = response_->ByteSizeLong();
  if (bytes > options_.max_message_bytes) return FailTooLarge(bytes);
  finished_ = true;
  waiting_since_ = absl::Now();
  Finish(FinalStatus());
}

void UnaryCall::DropPending() { response_->Clear(); }

void UnaryCall::OnDone() {
  MarkDone();
  const auto last_reference = std::move(self_);
}

}  // namespace quatrain
