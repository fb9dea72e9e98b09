#pragma once

#include <memory>
#include <vector>

#include "coordinator/generation_call.h"
#include "grpcpp/support/server_callback.h"

namespace quatrain {

// Answers one request at once, with the fold of its events.
class UnaryCall final : public grpc::ServerUnaryReactor, public GenerationCall {
 public:
  // Lives until gRPC is finished with it and nobody else holds it. `response`
  // is gRPC's.
  static std::shared_ptr<UnaryCall> Create(grpc::CallbackServerContext* context,
                                           Engine* engine,
                                           const CallOptions& options,
                                           v1::GenerateResponse* response);

  void Push(std::vector<v1::GenerateStreamResponse> events) override;

 private:
  using GenerationCall::GenerationCall;

  void OnCancel() override { ClientGone(); }
  void OnDone() override;

  void Advance() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropPending() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  v1::GenerateResponse* response_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<UnaryCall> self_;  // until OnDone
};

}  // namespace quatrain
