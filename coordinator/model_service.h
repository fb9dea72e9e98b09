#pragma once

#include <functional>

#include "absl/time/time.h"
#include "coordinator/engine.h"
#include "coordinator/request_parser.h"
#include "coordinator/served_model.h"
#include "quatrain/v1/model.grpc.pb.h"

namespace quatrain {

// quatrain.v1.ModelService: answers from memory.
class ModelService final : public v1::ModelService::CallbackService {
 public:
  // All must outlive the server. `draining` is asked from gRPC's threads.
  ModelService(const RequestParser* parser, const ServedModel* model,
               const Engine* engine, std::function<bool()> draining);

  grpc::ServerUnaryReactor* ListModels(
      grpc::CallbackServerContext* context, const v1::ListModelsRequest*,
      v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(
      grpc::CallbackServerContext* context, const v1::GetServerInfoRequest*,
      v1::GetServerInfoResponse* response) override;
  grpc::ServerUnaryReactor* GetLoad(grpc::CallbackServerContext* context,
                                    const v1::GetLoadRequest*,
                                    v1::GetLoadResponse* response) override;

 private:
  void Describe(v1::GetModelResponse* response) const;
  v1::ServerState State() const;

  const RequestParser* parser_;
  const ServedModel* model_;
  const Engine* engine_;
  const std::function<bool()> draining_;
  const absl::Time started_ = absl::Now();
};

}  // namespace quatrain
