#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/public_server.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "quatrain/v1/inference.grpc.pb.h"
#include "quatrain/v1/model.grpc.pb.h"
#include "tests/coordinator/fake_engine.h"
#include "tests/coordinator/test_model.h"

namespace quatrain {

// A detail of a gRPC status; a test failure if it is not there.
template <typename Detail>
Detail DetailOf(const grpc::Status& status) {
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  Detail detail;
  for (const auto& any : rich.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  ADD_FAILURE() << Detail::descriptor()->full_name() << " is missing from "
                << status.error_message();
  return detail;
}

inline std::string ReasonOf(const grpc::Status& status) {
  return DetailOf<google::rpc::ErrorInfo>(status).reason();
}

// The public server before a FakeEngine, over real loopback connections.
class ApiTest : public testing::Test {
 protected:
  static constexpr absl::Duration kPatience = absl::Seconds(30);

  ApiTest() {
    options_.port = 0;
    options_.max_request_time = absl::Seconds(60);
    engine_.SetScript({.token_ids = {kHello, kWorld, '!', kEos}});
  }

  void StartServer() {
    auto server = PublicServer::Start(options_, &engine_, model_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = NewChannel();
    inference_ = v1::InferenceService::NewStub(channel_);
    models_ = v1::ModelService::NewStub(channel_);
  }

  // With a connection of its own.
  std::shared_ptr<grpc::Channel> NewChannel() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // A window that grows with the bandwidth would hide a slow client.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(server_->port()),
        grpc::InsecureChannelCredentials(), arguments);
  }

  static v1::GenerateRequest TextRequest(const std::string& text = "once") {
    v1::GenerateRequest request;
    request.set_text(text);
    request.mutable_sampling()->set_seed(5);
    return request;
  }

  grpc::Status Generate(const v1::GenerateRequest& request,
                        v1::GenerateResponse* response) {
    grpc::ClientContext context;
    return inference_->Generate(&context, request, response);
  }

  grpc::Status Generate(const v1::GenerateRequest& request) {
    v1::GenerateResponse response;
    return Generate(request, &response);
  }

  grpc::Status Stream(const v1::GenerateRequest& request,
                      std::vector<v1::GenerateStreamResponse>* events) {
    grpc::ClientContext context;
    auto reader = inference_->GenerateStream(&context, request);
    v1::GenerateStreamResponse event;
    while (reader->Read(&event)) events->push_back(event);
    return reader->Finish();
  }

  template <typename Condition>
  static bool Eventually(const Condition& condition) {
    const absl::Time limit = absl::Now() + kPatience;
    while (!condition()) {
      if (absl::Now() > limit) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  bool NothingLives() {
    return Eventually([this] {
      return server_->live_calls() == 0 && engine_.num_running() == 0;
    });
  }

  std::unique_ptr<Tokenizer> tokenizer_ = MakeTestTokenizer();
  ServedModel model_ = MakeTestModel(tokenizer_.get());
  FakeEngine engine_;
  PublicServerOptions options_;
  std::unique_ptr<PublicServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::InferenceService::Stub> inference_;
  std::unique_ptr<v1::ModelService::Stub> models_;
};

}  // namespace quatrain
