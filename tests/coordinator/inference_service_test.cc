// Generation over real connections: the two calls agree, errors carry their
// details, and nothing is left behind however a call ends.

#include "coordinator/inference_service.h"

#include <random>

#include "coordinator/response_fold.h"
#include "gmock/gmock.h"
#include "tests/coordinator/api_fixture.h"

namespace quatrain {
namespace {

class InferenceServiceTest : public ApiTest {
 protected:
  static v1::GenerateResponse FoldAll(
      const std::vector<v1::GenerateStreamResponse>& events) {
    v1::GenerateResponse response;
    for (const auto& event : events) Fold(event, &response);
    return response;
  }

  // Without what differs from run to run.
  static std::string Comparable(v1::GenerateResponse response) {
    response.clear_request_id();
    response.clear_created();
    response.clear_timings();
    return response.DebugString();
  }

  // A stream that goes on until somebody ends it.
  void ScriptEndless(absl::Duration step = absl::Milliseconds(1)) {
    engine_.SetScript({.token_ids = {kHello}, .step = step, .repeat = true});
  }
};

TEST_F(InferenceServiceTest, UnaryEqualsTheFoldOfTheStream) {
  StartServer();
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    FakeEngine::Script script;
    for (int i = 0; i < 25; ++i) {
      script.token_ids.push_back(
          static_cast<int32_t>(random() % (round % 3 ? 256 : kTestVocab)));
    }
    engine_.SetScript(script);
    v1::GenerateRequest request = TextRequest();
    auto* output = request.mutable_output();
    output->set_return_text(random() % 4 != 0);
    output->set_return_token_ids(random() % 2);
    output->set_logprobs(random() % 2);
    output->set_top_logprobs(random() % 3);
    output->set_skip_special_tokens(random() % 2);
    if (random() % 2) output->set_prompt_logprobs(0);
    auto* stopping = request.mutable_stopping();
    if (random() % 2) stopping->add_stop(std::string(1, 'a' + random() % 26));
    if (random() % 2) stopping->add_stop_token_ids(random() % kTestVocab);
    stopping->set_max_tokens(1 + random() % 30);
    stopping->set_include_stop_in_output(random() % 2);

    v1::GenerateResponse unary;
    ASSERT_TRUE(Generate(request, &unary).ok());
    std::vector<v1::GenerateStreamResponse> events;
    ASSERT_TRUE(Stream(request, &events).ok());
    ASSERT_EQ(Comparable(FoldAll(events)), Comparable(unary));
    ASSERT_TRUE(events.front().has_started());
    ASSERT_TRUE(events.back().has_completed());
    for (size_t i = 0; i < events.size(); ++i)
      ASSERT_EQ(events[i].sequence(), i + 1);
  }
}

TEST_F(InferenceServiceTest, TheAnswerSaysHowItCameAbout) {
  StartServer();
  v1::GenerateRequest request = TextRequest();
  request.set_request_id("mine");
  request.set_model("alias");
  v1::GenerateResponse response;
  ASSERT_TRUE(Generate(request, &response).ok());
  EXPECT_EQ(response.request_id(), "mine");
  EXPECT_EQ(response.model(), "test-model");
  EXPECT_EQ(response.seed(), 5u);
  EXPECT_EQ(response.prompt().prompt_tokens(), 5u);  // BOS and four bytes
  EXPECT_EQ(response.choices(0).text(), "hello world!");
  EXPECT_EQ(response.choices(0).eos_token_id(), uint32_t{kEos});
  EXPECT_EQ(response.usage().completion_tokens(), 4u);
}

TEST_F(InferenceServiceTest, IgnoredEosIsAnOrdinaryToken) {
  engine_.SetScript({.token_ids = {kHello, kEos, kWorld}});
  StartServer();
  v1::GenerateRequest request = TextRequest();
  request.mutable_stopping()->set_ignore_eos(true);
  v1::GenerateResponse response;
  ASSERT_TRUE(Generate(request, &response).ok());
  EXPECT_EQ(response.choices(0).text(), "hello world");
  EXPECT_EQ(response.choices(0).finish_reason(),
            v1::FINISH_REASON_CONTEXT_LENGTH);
}

TEST_F(InferenceServiceTest, AnInvalidFieldComesBackWithItsDetails) {
  StartServer();
  v1::GenerateRequest request = TextRequest();
  request.mutable_sampling()->set_top_p(2);
  request.set_request_id("bad-one");
  std::vector<v1::GenerateStreamResponse> events;
  for (const grpc::Status& status :
       {Generate(request), Stream(request, &events)}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message(), "sampling.top_p: 2, accepted 0 < p <= 1");
    EXPECT_EQ(ReasonOf(status), "INVALID_PARAMETER");
    EXPECT_EQ(DetailOf<google::rpc::RequestInfo>(status).request_id(),
              "bad-one");
    EXPECT_EQ(
        DetailOf<google::rpc::BadRequest>(status).field_violations(0).field(),
        "sampling.top_p");
  }
  EXPECT_TRUE(events.empty());
  EXPECT_TRUE(NothingLives());
}

TEST_F(InferenceServiceTest, TheRequestIdTravelsInMetadata) {
  StartServer();
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "from-metadata");
  v1::GenerateResponse response;
  ASSERT_TRUE(inference_->Generate(&context, TextRequest(), &response).ok());
  EXPECT_EQ(response.request_id(), "from-metadata");
  const auto& headers = context.GetServerInitialMetadata();
  EXPECT_EQ(headers.find("x-request-id")->second, "from-metadata");
}

TEST_F(InferenceServiceTest, AnIdThatMayNotBe) {
  StartServer();
  v1::GenerateRequest request = TextRequest();
  request.set_request_id("no blanks");
  const grpc::Status status = Generate(request);
  EXPECT_EQ(status.error_message(),
            "request_id: 'no blanks', accepted 1..128 of A-Z a-z 0-9 . _ : -");
}

TEST_F(InferenceServiceTest, ALiveIdIsRefusedAndFreeAgainAfterwards) {
  ScriptEndless();
  StartServer();
  v1::GenerateRequest request = TextRequest();
  request.set_request_id("twice");
  grpc::ClientContext context;
  auto reader = inference_->GenerateStream(&context, request);
  v1::GenerateStreamResponse event;
  ASSERT_TRUE(reader->Read(&event));
  const grpc::Status status = Generate(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(ReasonOf(status), "DUPLICATE_REQUEST_ID");
  context.TryCancel();
  reader->Finish();
  EXPECT_TRUE(NothingLives());
  engine_.SetScript({.token_ids = {kHello, kEos}});
  EXPECT_TRUE(Generate(request).ok());
}

TEST_F(InferenceServiceTest, ACancelledStreamFreesItsSequence) {
  ScriptEndless();
  StartServer();
  v1::GenerateRequest request = TextRequest();
  request.set_request_id("cancelled");
  grpc::ClientContext context;
  auto reader = inference_->GenerateStream(&context, request);
  v1::GenerateStreamResponse event;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(reader->Read(&event));
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(NothingLives());
  EXPECT_TRUE(engine_.was_cancelled("cancelled"));
}

TEST_F(InferenceServiceTest, TheClientsDeadlineFreesItsSequence) {
  ScriptEndless();
  StartServer();
  v1::GenerateRequest request = TextRequest();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(150));
  v1::GenerateResponse response;
  EXPECT_EQ(inference_->Generate(&context, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(NothingLives());
}

TEST_F(InferenceServiceTest, TheServersOwnTimeLimit) {
  ScriptEndless();
  options_.max_request_time = absl::Milliseconds(300);
  StartServer();
  std::vector<v1::GenerateStreamResponse> events;
  const grpc::Status status = Stream(TextRequest(), &events);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(),
            "request ran longer than this server's limit of 300ms "
            "(--max-request-time)");
  EXPECT_EQ(ReasonOf(status), "DEADLINE_EXCEEDED");
  EXPECT_TRUE(NothingLives());
}

TEST_F(InferenceServiceTest, AFailureInTheMiddle) {
  engine_.SetScript({.token_ids = {kHello, kWorld},
                     .fails_after = absl::UnavailableError("worker 2 died")});
  StartServer();
  std::vector<v1::GenerateStreamResponse> events;
  const grpc::Status status = Stream(TextRequest(), &events);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "worker 2 died");
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  EXPECT_EQ(info.reason(), "WORKER_LOST");
  EXPECT_EQ(info.metadata().at("emitted_tokens"), "2");
  EXPECT_EQ(FoldAll(events).choices(0).text(), "hello world");
  EXPECT_FALSE(events.back().has_completed());
}

TEST_F(InferenceServiceTest, WhatTheEngineRefuses) {
  StartServer();
  const std::pair<absl::Status, std::string> cases[] = {
      {absl::ResourceExhaustedError("64 wait"), "QUEUE_FULL"},
      {absl::InvalidArgumentError("100 blocks, 9 exist"), "KV_CAPACITY"},
      {absl::UnavailableError("going down"), "ENGINE_NOT_READY"},
  };
  for (const auto& [refusal, reason] : cases) {
    engine_.SetScript({.refuses = refusal});
    const grpc::Status status = Generate(TextRequest());
    EXPECT_EQ(status.error_code(),
              static_cast<grpc::StatusCode>(refusal.code()));
    EXPECT_EQ(status.error_message(), std::string(refusal.message()));
    EXPECT_EQ(ReasonOf(status), reason);
  }
  EXPECT_TRUE(NothingLives());
}

TEST_F(InferenceServiceTest, BeforeTheEngineIsReady) {
  engine_.SetPhase(EnginePhase::kStarting);
  StartServer();
  const grpc::Status status = Generate(TextRequest());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "waits for 2 workers");
  EXPECT_EQ(ReasonOf(status), "ENGINE_NOT_READY");
  EXPECT_EQ(DetailOf<google::rpc::RetryInfo>(status).retry_delay().seconds(),
            1);
}

// The step loop never waits: deltas pile up, are merged, and nothing is lost.
TEST_F(InferenceServiceTest, ASlowClientGetsEverythingInFewerMessages) {
  constexpr int kTokens = 40000;
  engine_.SetScript({.token_ids = std::vector<int32_t>(kTokens, kHello),
                     .tokens_per_step = 1000});
  StartServer();
  grpc::ClientContext context;
  auto reader = inference_->GenerateStream(&context, [] {
    v1::GenerateRequest request = TextRequest();
    request.mutable_stopping()->set_max_tokens(kTokens);
    return request;
  }());
  ASSERT_TRUE(Eventually([this] { return engine_.num_ended() == 1; }));
  EXPECT_EQ(server_->live_calls(), 1u);  // its client has read nothing
  size_t bytes = 0;
  int messages = 0;
  v1::GenerateStreamResponse event;
  while (reader->Read(&event)) {
    bytes += event.delta().text().size();
    ++messages;
    ASSERT_EQ(event.sequence(), static_cast<uint64_t>(messages));
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(bytes, kTokens * 5u);
  EXPECT_LT(messages, kTokens);
  EXPECT_TRUE(event.has_completed());
}

TEST_F(InferenceServiceTest, AClientThatTakesNothingIsCancelled) {
  options_.stream_stall_timeout = absl::Milliseconds(300);
  engine_.SetScript(
      {.token_ids = {kHello}, .repeat = true, .tokens_per_step = 1000});
  StartServer();
  v1::GenerateRequest request = TextRequest();
  request.set_request_id("stalled");
  grpc::ClientContext context;
  auto reader = inference_->GenerateStream(&context, request);
  EXPECT_TRUE(Eventually([this] { return engine_.num_running() == 1; }));
  EXPECT_TRUE(NothingLives());
  EXPECT_TRUE(engine_.was_cancelled("stalled"));
  context.TryCancel();
  reader->Finish();
}

TEST_F(InferenceServiceTest, ManyRandomCancelsLeaveNothing) {
  ScriptEndless(absl::Microseconds(200));
  StartServer();
  std::vector<std::thread> clients;
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([this, c] {
      std::mt19937 random(c);
      for (int i = 0; i < 40; ++i) {
        grpc::ClientContext context;
        auto reader = inference_->GenerateStream(&context, TextRequest());
        v1::GenerateStreamResponse event;
        for (size_t n = random() % 4; n > 0; --n) reader->Read(&event);
        context.TryCancel();
        reader->Finish();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(NothingLives());
}

TEST_F(InferenceServiceTest, ManyClientsAtOnce) {
  engine_.SetScript({.token_ids = {kHello, kWorld, '!', kEos},
                     .step = absl::Microseconds(100)});
  StartServer();
  std::atomic<int> right = 0;
  std::vector<std::thread> clients;
  for (int c = 0; c < 16; ++c) {
    clients.emplace_back([this, &right] {
      for (int i = 0; i < 10; ++i) {
        std::vector<v1::GenerateStreamResponse> events;
        if (!Stream(TextRequest(), &events).ok()) continue;
        right += FoldAll(events).choices(0).text() == "hello world!";
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 160);
  EXPECT_TRUE(NothingLives());
}

TEST_F(InferenceServiceTest, TokenizeAndDetokenize) {
  StartServer();
  v1::TokenizeRequest request;
  request.set_text("hi \xe2\x82\xac");
  request.set_return_tokens(true);
  v1::TokenizeResponse tokens;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(inference_->Tokenize(&context, request, &tokens).ok());
  }
  EXPECT_THAT(tokens.token_ids(),
              testing::ElementsAre(kBos, 'h', 'i', ' ', 0xe2, 0x82, 0xac));
  EXPECT_EQ(tokens.tokens(0).piece(), "<s>");
  EXPECT_EQ(tokens.tokens(4).text(), "\xe2");
  EXPECT_EQ(tokens.max_model_len(), 64u);

  v1::DetokenizeRequest back;
  *back.mutable_token_ids() = tokens.token_ids();
  v1::DetokenizeResponse text;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(inference_->Detokenize(&context, back, &text).ok());
    EXPECT_EQ(text.text(), "<s>hi \xe2\x82\xac");
  }
  back.set_skip_special_tokens(true);
  {
    grpc::ClientContext context;
    ASSERT_TRUE(inference_->Detokenize(&context, back, &text).ok());
    EXPECT_EQ(text.text(), "hi \xe2\x82\xac");
  }
  back.add_token_ids(kTestVocab);
  grpc::ClientContext context;
  EXPECT_EQ(inference_->Detokenize(&context, back, &text).error_message(),
            "token_ids[7]: token id 260, accepted 0..259");
}

TEST_F(InferenceServiceTest, BatchesAreRefusedByName) {
  StartServer();
  grpc::ClientContext context;
  auto reader = inference_->BatchGenerate(&context, {});
  v1::BatchGenerateResponse response;
  EXPECT_FALSE(reader->Read(&response));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(),
            "BatchGenerate does not work in this version");
  EXPECT_EQ(ReasonOf(status), "UNSUPPORTED_FEATURE");
}

}  // namespace
}  // namespace quatrain
