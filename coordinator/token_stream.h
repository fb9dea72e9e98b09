#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "coordinator/generation_call.h"
#include "grpcpp/support/server_callback.h"

namespace quatrain {

// Delivers one request's events to its client. gRPC allows one write in flight;
// events that arrive meanwhile wait, and once many do, deltas join the one
// before. Nobody ever waits for the client.
class TokenStream final
    : public grpc::ServerWriteReactor<v1::GenerateStreamResponse>,
      public GenerationCall {
 public:
  // Lives until gRPC is finished with it and nobody else holds it.
  static std::shared_ptr<TokenStream> Create(
      grpc::CallbackServerContext* context, Engine* engine,
      const CallOptions& options);

  void Push(std::vector<v1::GenerateStreamResponse> events) override;

 private:
  using GenerationCall::GenerationCall;

  void OnWriteDone(bool ok) override;
  void OnCancel() override { ClientGone(); }
  void OnDone() override;

  void Append(v1::GenerateStreamResponse event)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Advance() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropPending() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::deque<v1::GenerateStreamResponse> pending_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  v1::GenerateStreamResponse message_;  // gRPC's while writing_ is true
  std::shared_ptr<TokenStream> self_;   // until OnDone
};

}  // namespace quatrain
