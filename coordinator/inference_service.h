#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/admission_threads.h"
#include "coordinator/generation_call.h"
#include "coordinator/live_calls.h"
#include "coordinator/request_parser.h"
#include "quatrain/v1/inference.grpc.pb.h"

namespace quatrain {

// quatrain.v1.InferenceService. gRPC's threads only create the call; checking
// and tokenizing happen on admission threads, the rest on the step loop's.
class InferenceService final : public v1::InferenceService::CallbackService {
 public:
  // All must outlive the server.
  InferenceService(const RequestParser* parser, const ServedModel* model,
                   Engine* engine, std::shared_ptr<LiveCalls> calls,
                   const CallOptions& options);

  // From now on new generations are refused with DRAINING.
  void Drain() { draining_ = true; }
  bool draining() const { return draining_; }

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const v1::GenerateRequest* request,
                                     v1::GenerateResponse* response) override;
  grpc::ServerWriteReactor<v1::GenerateStreamResponse>* GenerateStream(
      grpc::CallbackServerContext* context,
      const v1::GenerateRequest* request) override;
  grpc::ServerWriteReactor<v1::BatchGenerateResponse>* BatchGenerate(
      grpc::CallbackServerContext* context,
      const v1::BatchGenerateRequest* request) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(
      grpc::CallbackServerContext* context,
      const v1::DetokenizeRequest* request,
      v1::DetokenizeResponse* response) override;

 private:
  template <typename Call>
  void Start(grpc::CallbackServerContext* context,
             const v1::GenerateRequest& request, std::shared_ptr<Call> call);
  absl::Status Admit(const v1::GenerateRequest& request,
                     const std::string& request_id,
                     std::shared_ptr<GenerationCall> call);
  absl::Status CheckServing() const;
  absl::Status RefusedBy(const absl::Status& status) const;
  absl::Status TokenizeText(const v1::TokenizeRequest& request,
                            v1::TokenizeResponse* response) const;
  absl::Status DetokenizeIds(const v1::DetokenizeRequest& request,
                             v1::DetokenizeResponse* response) const;

  const RequestParser* parser_;
  const ServedModel* model_;
  Engine* engine_;
  std::shared_ptr<LiveCalls> calls_;
  const CallOptions options_;
  std::atomic<bool> draining_ = false;
  AdmissionThreads admission_;  // last: its jobs use the rest
};

}  // namespace quatrain
