#include "coordinator/response_builder.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/response_fold.h"
#include "coordinator/rich_status.h"
#include "gtest/gtest.h"
#include "tests/coordinator/test_model.h"

namespace quatrain {
namespace {

// Keeps what arrives.
class Recorder final : public EventSink {
 public:
  void Push(std::vector<v1::GenerateStreamResponse> events) override {
    for (auto& event : events) events_.push_back(std::move(event));
  }
  void Close(const absl::Status& status) override { closed_ = status; }

  std::vector<v1::GenerateStreamResponse> events_;
  std::optional<absl::Status> closed_;
};

GeneratedToken Token(int32_t id) {
  GeneratedToken token{.token_id = id};
  token.logprob = Logprob{id, -0.5f, 3};
  token.top_logprobs = {{1, -0.1f, 1}, {2, -0.2f, 2}};
  return token;
}

class ResponseBuilderTest : public testing::Test {
 protected:
  ResponseBuilderTest() {
    options_.request_id = "r";
    options_.model = "test-model";
    options_.received = absl::Now();
    options_.seed = 9;
    options_.prompt_tokens = static_cast<uint32_t>(prompt_.size());
    options_.ending_token_ids = {kEos};
  }

  std::unique_ptr<ResponseBuilder> Make() {
    recorder_ = std::make_shared<Recorder>();
    return std::make_unique<ResponseBuilder>(options_, tokenizer_.get(),
                                             prompt_, recorder_);
  }

  // What the step loop would do with these tokens.
  void Play(const std::vector<int32_t>& ids) {
    auto builder = Make();
    SequenceEnd end{.reason = FinishReason::kLength};
    for (int32_t id : ids) {
      ++end.completion_tokens;
      const bool stopped = builder->OnToken(Token(id));
      if (id == kEos) {
        end.reason = FinishReason::kEos;
        end.matched_token_id = id;
        break;
      }
      if (stopped) {
        end.reason = FinishReason::kStopText;
        break;
      }
    }
    builder->OnFinished(end);
  }

  v1::GenerateResponse Folded() const {
    v1::GenerateResponse response;
    for (const auto& event : recorder_->events_) Fold(event, &response);
    return response;
  }

  std::unique_ptr<Tokenizer> tokenizer_ = MakeTestTokenizer();
  std::vector<int32_t> prompt_ = Bytes("once");
  ResponseOptions options_;
  std::shared_ptr<Recorder> recorder_;
};

TEST_F(ResponseBuilderTest, EventsComeInOrder) {
  Play({kHello, kWorld, kEos});
  const auto& events = recorder_->events_;
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[0].started().request_id(), "r");
  EXPECT_EQ(events[0].started().seed(), 9u);
  EXPECT_EQ(events[0].started().prompt().prompt_tokens(), 4u);
  EXPECT_TRUE(events[0].started().prompt().has_cached_prompt_tokens());
  EXPECT_EQ(events[0].started().prompt().cached_prompt_tokens(), 0u);
  EXPECT_EQ(events[1].delta().text(), "hello");
  EXPECT_EQ(events[2].delta().text(), " world");
  EXPECT_EQ(events[3].finished().finish_reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(events[3].finished().eos_token_id(), uint32_t{kEos});
  EXPECT_EQ(events[4].completed().usage().completion_tokens(), 3u);
  EXPECT_EQ(events[4].completed().usage().total_tokens(), 7u);
  EXPECT_EQ(recorder_->closed_, absl::OkStatus());
}

TEST_F(ResponseBuilderTest, StartedWaitsForTheFirstToken) {
  auto builder = Make();
  EXPECT_TRUE(recorder_->events_.empty());
  builder->OnToken(Token(0xe2));  // no whole character yet
  ASSERT_EQ(recorder_->events_.size(), 1u);
  EXPECT_TRUE(recorder_->events_[0].has_started());
}

TEST_F(ResponseBuilderTest, AStopStringEndsTheSequence) {
  options_.text.stop = {"world"};
  Play({kHello, kWorld, kHello});
  const auto response = Folded();
  EXPECT_EQ(response.choices(0).text(), "hello ");
  EXPECT_EQ(response.choices(0).finish_reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(response.choices(0).stop_text(), "world");
  EXPECT_EQ(response.usage().completion_tokens(), 2u);
}

TEST_F(ResponseBuilderTest, IdsAndLogprobsCoverEveryToken) {
  options_.return_token_ids = true;
  options_.logprobs = true;
  Play({kHello, kEos});
  const auto choice = Folded().choices(0);
  ASSERT_EQ(choice.token_ids_size(), 2);
  EXPECT_EQ(choice.token_ids(1), uint32_t{kEos});
  ASSERT_EQ(choice.logprobs_size(), 2);
  EXPECT_EQ(choice.logprobs(0).token().text(), "hello");
  EXPECT_EQ(choice.logprobs(0).token().rank(), 3u);
  // The drawn token is appended where it is not among the best.
  ASSERT_EQ(choice.logprobs(0).top_size(), 3);
  EXPECT_EQ(choice.logprobs(0).top(2).token_id(), uint32_t{kHello});
}

TEST_F(ResponseBuilderTest, ScoresOfThePromptTravelWithStarted) {
  options_.prompt_logprobs = true;
  auto builder = Make();
  builder->OnPromptTokens({GeneratedToken{.token_id = 'o'}, Token('n')});
  builder->OnPromptTokens({Token('c'), Token('e')});
  builder->OnToken(Token(kHello));
  const auto& prompt = recorder_->events_[0].started().prompt();
  ASSERT_EQ(prompt.logprobs_size(), 4);
  EXPECT_FALSE(prompt.logprobs(0).token().has_logprob());
  EXPECT_EQ(prompt.logprobs(0).token().text(), "o");
  EXPECT_EQ(prompt.logprobs(3).token().logprob(), -0.5f);
}

TEST_F(ResponseBuilderTest, WithoutTextOnlyIdsTravel) {
  options_.return_text = false;
  options_.return_token_ids = true;
  Play({kHello, kWorld});
  const auto choice = Folded().choices(0);
  EXPECT_EQ(choice.text(), "");
  EXPECT_EQ(choice.token_ids_size(), 2);
  EXPECT_EQ(choice.finish_reason(), v1::FINISH_REASON_LENGTH);
}

TEST_F(ResponseBuilderTest, AFailureBeforeTheFirstToken) {
  auto builder = Make();
  builder->OnFailed(absl::UnavailableError("worker 1 died"));
  EXPECT_TRUE(recorder_->events_.empty());
  EXPECT_EQ(recorder_->closed_, absl::UnavailableError("worker 1 died"));
}

TEST_F(ResponseBuilderTest, ALaterFailureSaysHowMuchWasSent) {
  auto builder = Make();
  builder->OnToken(Token(kHello));
  builder->OnToken(Token(kWorld));
  builder->OnFailed(absl::UnavailableError("worker 1 died"));
  EXPECT_EQ(MetadataOf(*recorder_->closed_).at("emitted_tokens"), "2");
  EXPECT_EQ(ErrorReason(*recorder_->closed_), "WORKER_LOST");
}

// Whatever happens, the fold is the text of the tokens, cut at the stop string;
// and merging neighbouring deltas does not change it.
TEST_F(ResponseBuilderTest, TheFoldIsTheWholeAnswer) {
  std::mt19937 random(3);
  options_.return_token_ids = true;
  for (int round = 0; round < 300; ++round) {
    options_.text.stop.clear();
    if (round % 2) options_.text.stop = {"ab", "b\xc3\xa9"};
    std::vector<int32_t> ids;
    for (int i = 0; i < 30; ++i)
      ids.push_back("ab \xc3\xa9\xf0"[random() % 6] & 0xff);
    Play(ids);
    const auto folded = Folded();
    const auto& choice = folded.choices(0);
    std::string whole = tokenizer_->Decode(std::vector<int32_t>(
        choice.token_ids().begin(), choice.token_ids().end()));
    for (const std::string& stop : options_.text.stop)
      whole = whole.substr(0, whole.find(stop));
    ASSERT_EQ(choice.text(), whole);

    v1::GenerateResponse merged;
    v1::GenerateStreamResponse pending;
    for (const auto& event : recorder_->events_) {
      if (event.has_delta() && pending.has_delta() && random() % 2) {
        MergeDelta(event.delta(), pending.mutable_delta());
        continue;
      }
      Fold(pending, &merged);
      pending = event;
    }
    Fold(pending, &merged);
    ASSERT_EQ(merged.SerializeAsString(), folded.SerializeAsString());
  }
}

}  // namespace
}  // namespace quatrain
