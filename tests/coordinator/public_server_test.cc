#include "coordinator/public_server.h"

#include <sstream>

#include "base/version.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"
#include "tests/coordinator/api_fixture.h"

namespace quatrain {
namespace {

grpc::ByteBuffer Buffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  EXPECT_TRUE(buffer.DumpToSingleSlice(&slice).ok());
  return std::string(slice.begin(), slice.end());
}

class PublicServerTest : public ApiTest {
 protected:
  // One message to a method that we have no stub for, and its first answer.
  grpc::Status Call(const std::string& method, const std::string& request,
                    std::string* response) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    auto call = stub.PrepareCall(&context, method, &queue);
    const auto wait = [&queue] {
      void* tag;
      bool ok = false;
      queue.Next(&tag, &ok);
      return ok;
    };
    call->StartCall(nullptr);
    wait();
    call->WriteLast(Buffer(request), grpc::WriteOptions(), nullptr);
    wait();
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    if (wait()) *response = BytesOf(answer);
    grpc::Status status;
    call->Finish(&status, nullptr);
    wait();
    queue.Shutdown();
    return status;
  }

  // 1 = SERVING, 2 = NOT_SERVING, as grpc.health.v1 numbers them; 0: error.
  int Health(const std::string& name) {
    std::string request;
    if (!name.empty())
      request = std::string("\x0a") + static_cast<char>(name.size()) + name;
    std::string response;
    const grpc::Status status =
        Call("/grpc.health.v1.Health/Check", request, &response);
    return status.ok() && response.size() == 2 ? response[1] : 0;
  }
};

TEST_F(PublicServerTest, HealthFollowsTheEngine) {
  engine_.SetPhase(EnginePhase::kLoading);
  StartServer();
  for (const char* name :
       {"", "quatrain.v1.InferenceService", "readiness", "startup"})
    EXPECT_EQ(Health(name), 2) << name;
  EXPECT_EQ(Health("liveness"), 1);
  EXPECT_EQ(Health("unheard-of"), 0);
  engine_.SetPhase(EnginePhase::kReady);
  EXPECT_TRUE(Eventually([&] { return Health("") == 1; }));
  for (const char* name :
       {"quatrain.v1.InferenceService", "readiness", "startup"})
    EXPECT_EQ(Health(name), 1) << name;
  engine_.SetPhase(EnginePhase::kFailed);
  EXPECT_TRUE(Eventually([&] { return Health("readiness") == 2; }));
  EXPECT_EQ(Health("startup"), 1);
}

TEST_F(PublicServerTest, DrainingFinishesWhatRunsAndTakesNothingNew) {
  engine_.SetScript({.token_ids = std::vector<int32_t>(40, kHello),
                     .step = absl::Milliseconds(10)});
  StartServer();
  EXPECT_TRUE(Eventually([&] { return Health("") == 1; }));
  grpc::ClientContext context;
  auto reader = inference_->GenerateStream(&context, TextRequest());
  v1::GenerateStreamResponse event;
  ASSERT_TRUE(reader->Read(&event));
  server_->Drain();
  const grpc::Status status = Generate(TextRequest());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), "DRAINING");
  EXPECT_TRUE(Eventually([&] { return Health("") == 2; }));
  while (reader->Read(&event)) {
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(event.has_completed());
}

TEST_F(PublicServerTest, StopEndsWhatDoesNotEnd) {
  engine_.SetScript(
      {.token_ids = {kHello}, .step = absl::Milliseconds(1), .repeat = true});
  StartServer();
  grpc::ClientContext context;
  auto reader = inference_->GenerateStream(&context, TextRequest());
  v1::GenerateStreamResponse event;
  ASSERT_TRUE(reader->Read(&event));
  server_->Stop(absl::Milliseconds(100));
  while (reader->Read(&event)) {
  }
  EXPECT_FALSE(reader->Finish().ok());
  EXPECT_TRUE(NothingLives());
}

TEST_F(PublicServerTest, EveryAnswerSaysWhichGroupServed) {
  options_.group = "pod-3";
  StartServer();
  const auto group = [](const grpc::ClientContext& context) {
    const auto& trailer = context.GetServerTrailingMetadata();
    const auto found = trailer.find("x-quatrain-group");
    if (found == trailer.end()) return std::string("none");
    return std::string(found->second.data(), found->second.size());
  };
  v1::GenerateResponse response;
  grpc::ClientContext good, bad, stream, tokenize;
  EXPECT_TRUE(inference_->Generate(&good, TextRequest(), &response).ok());
  EXPECT_EQ(group(good), "pod-3");
  EXPECT_FALSE(inference_->Generate(&bad, {}, &response).ok());
  EXPECT_EQ(group(bad), "pod-3");
  auto reader = inference_->GenerateStream(&stream, TextRequest());
  v1::GenerateStreamResponse event;
  while (reader->Read(&event)) {
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(group(stream), "pod-3");
  v1::TokenizeResponse tokens;
  inference_->Tokenize(&tokenize, {}, &tokens);
  EXPECT_EQ(group(tokenize), "pod-3");
}

TEST_F(PublicServerTest, GroupIsNamedAfterHostAndPort) {
  StartServer();
  grpc::ClientContext context;
  v1::GenerateResponse response;
  ASSERT_TRUE(inference_->Generate(&context, TextRequest(), &response).ok());
  const auto& trailer = context.GetServerTrailingMetadata();
  const auto found = trailer.find("x-quatrain-group");
  ASSERT_NE(found, trailer.end());
  const std::string group(found->second.data(), found->second.size());
  EXPECT_TRUE(group.ends_with(":" + std::to_string(server_->port()))) << group;
}

TEST_F(PublicServerTest, TheModelIsDescribed) {
  model_.generation.temperature = 0.5;
  model_.generation.unsupported = {"repetition_penalty=1.1"};
  model_.config.quantization = QuantizationConfig{};
  StartServer();
  grpc::ClientContext context;
  v1::GetModelResponse model;
  ASSERT_TRUE(models_->GetModel(&context, {}, &model).ok());
  EXPECT_EQ(model.id(), "test-model");
  EXPECT_EQ(model.architecture(), "LlamaForCausalLM");
  EXPECT_EQ(model.quantization().method(), "awq");
  EXPECT_EQ(model.quantization().group_size(), 128);
  EXPECT_EQ(model.max_model_len(), 64u);
  EXPECT_EQ(model.vocab_size(), uint32_t{kTestVocab});
  EXPECT_EQ(model.special_token_ids().bos_token_id(), uint32_t{kBos});
  EXPECT_THAT(model.special_token_ids().eos_token_ids(),
              testing::ElementsAre(kEos));
  EXPECT_EQ(model.defaults().temperature(), 0.5f);
  EXPECT_EQ(model.defaults().top_p(), 1.0f);
  EXPECT_THAT(model.unsupported_defaults(),
              testing::ElementsAre("repetition_penalty=1.1"));
  EXPECT_EQ(model.tokenizer_digest(), tokenizer_->digest());
}

// What is logged between its beginning and its end, instead of on stderr.
class CapturedLog {
 public:
  CapturedLog() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "captured",
        std::make_shared<spdlog::sinks::ostream_sink_mt>(lines_, true)));
    spdlog::set_pattern("%l %v");
  }
  ~CapturedLog() { spdlog::set_default_logger(before_); }
  std::string text() const { return lines_.str(); }

 private:
  std::ostringstream lines_;
  const std::shared_ptr<spdlog::logger> before_;
};

TEST_F(PublicServerTest, WarnsAtStartOfDefaultsThatAreNotApplied) {
  model_.generation.unsupported = {"repetition_penalty=1.1", "max_time=5"};
  const auto start = [this] {
    CapturedLog log;
    StartServer();
    server_.reset();
    return log.text();
  };
  const std::string log = start();
  for (const char* line :
       {"warning generation_config.json: repetition_penalty=1.1 is not "
        "applied\n",
        "warning generation_config.json: max_time=5 is not applied\n"})
    EXPECT_THAT(log, testing::HasSubstr(line));
  model_.use_generation_defaults = false;
  EXPECT_THAT(start(), testing::Not(testing::HasSubstr("applied")));
}

TEST_F(PublicServerTest, TellsTheTokenizersEosToo) {
  const auto tokenizer = MakeTestTokenizer(R"({"eos_token": "</s>"})");
  model_.tokenizer = tokenizer.get();
  model_.config.eos_token_ids = {kHello};
  StartServer();
  grpc::ClientContext context;
  v1::GetModelResponse model;
  ASSERT_TRUE(models_->GetModel(&context, {}, &model).ok());
  EXPECT_THAT(model.special_token_ids().eos_token_ids(),
              testing::ElementsAre(kHello, kEos));
  server_.reset();
}

TEST_F(PublicServerTest, ListsItsModelAndRefusesOthers) {
  StartServer();
  grpc::ClientContext list_context;
  list_context.AddMetadata("x-request-id", "listing");
  v1::ListModelsResponse list;
  ASSERT_TRUE(models_->ListModels(&list_context, {}, &list).ok());
  const auto& headers = list_context.GetServerInitialMetadata();
  EXPECT_EQ(headers.find("x-request-id")->second, "listing");
  ASSERT_EQ(list.models_size(), 1);
  EXPECT_EQ(list.models(0).aliases(0), "alias");
  grpc::ClientContext context;
  v1::GetModelRequest request;
  request.set_model("other");
  v1::GetModelResponse response;
  const grpc::Status status = models_->GetModel(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(DetailOf<google::rpc::ResourceInfo>(status).resource_name(),
            "other");
}

TEST_F(PublicServerTest, InfoAndLoad) {
  StartServer();
  grpc::ClientContext info_context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(models_->GetServerInfo(&info_context, {}, &info).ok());
  EXPECT_EQ(info.version(), kVersion);
  EXPECT_EQ(info.build_id(), kBuildId);
  EXPECT_EQ(info.api_version(), "quatrain.v1");
  EXPECT_EQ(info.state(), v1::SERVER_STATE_READY);
  ASSERT_EQ(info.layout().stages_size(), 2);
  EXPECT_EQ(info.layout().stages(1).first_layer(), 4u);
  grpc::ClientContext load_context;
  v1::GetLoadResponse load;
  ASSERT_TRUE(models_->GetLoad(&load_context, {}, &load).ok());
  EXPECT_EQ(load.total_blocks(), 100u);
  EXPECT_EQ(load.block_size(), 16u);
}

TEST_F(PublicServerTest, AMessageThatIsTooLarge) {
  options_.max_receive_bytes = 10000;
  StartServer();
  EXPECT_EQ(Generate(TextRequest(std::string(20000, 'a'))).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(PublicServerTest, AnAnswerThatIsTooLarge) {
  options_.max_send_bytes = 2000;
  engine_.SetScript({.token_ids = std::vector<int32_t>(50, kHello)});
  StartServer();
  v1::GenerateRequest request = TextRequest();
  request.mutable_output()->set_top_logprobs(20);
  const grpc::Status status = Generate(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "PAYLOAD_TOO_LARGE");
  std::vector<v1::GenerateStreamResponse> events;
  EXPECT_TRUE(Stream(request, &events).ok());
  EXPECT_TRUE(NothingLives());
}

TEST_F(PublicServerTest, CompressionIsRefused) {
  StartServer();
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::GenerateResponse response;
  const grpc::Status status = inference_->Generate(
      &context, TextRequest(std::string(2000, 'a')), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(PublicServerTest, LargeMetadataIsRefused) {
  StartServer();
  grpc::ClientContext context;
  context.AddMetadata("x-large", std::string(9000, 'a'));
  v1::GenerateResponse response;
  const grpc::Status status =
      inference_->Generate(&context, TextRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(PublicServerTest, ConnectionsOverTheLimitAreClosed) {
  options_.max_connections = 2;
  StartServer();
  const auto serves = [](const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    v1::ListModelsResponse response;
    return v1::ModelService::NewStub(channel)
        ->ListModels(&context, {}, &response)
        .ok();
  };
  auto second = NewChannel();
  EXPECT_TRUE(serves(channel_));
  EXPECT_TRUE(serves(second));
  EXPECT_FALSE(serves(NewChannel()));
  second.reset();
  EXPECT_TRUE(Eventually([&] { return serves(NewChannel()); }));
}

TEST_F(PublicServerTest, ReflectionOnlyWithItsFlag) {
  const std::string method =
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  const std::string list_services("\x3a\x00", 2);  // field 7, ""
  std::string response;
  StartServer();
  EXPECT_EQ(Call(method, list_services, &response).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  options_.reflection = true;
  StartServer();
  EXPECT_TRUE(Call(method, list_services, &response).ok());
  EXPECT_THAT(response, testing::HasSubstr("quatrain.v1.InferenceService"));
  EXPECT_THAT(response, testing::HasSubstr("quatrain.v1.ModelService"));
}

TEST_F(PublicServerTest, OptionsThatMayNotBe) {
  options_.host = "0.0.0.0";
  auto server = PublicServer::Start(options_, &engine_, model_);
  EXPECT_EQ(server.status().message(),
            "host 0.0.0.0 is not of the loopback, and connections are in "
            "clear: pass --insecure if that is meant");
  options_.insecure = true;
  options_.reflection = true;
  server = PublicServer::Start(options_, &engine_, model_);
  EXPECT_EQ(server.status().message(),
            "--reflection: host 0.0.0.0, accepted only a host of the loopback");
}

TEST_F(PublicServerTest, APortThatIsTaken) {
  StartServer();
  options_.port = server_->port();
  const auto second = PublicServer::Start(options_, &engine_, model_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              testing::HasSubstr("Address already in use"));
}

}  // namespace
}  // namespace quatrain
