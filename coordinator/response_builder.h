#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/request.h"
#include "coordinator/text_output.h"
#include "quatrain/v1/inference.pb.h"

namespace quatrain {

// Where the events of one request go.
class EventSink {
 public:
  virtual ~EventSink() = default;

  // In order, without sequence numbers. Must not block.
  virtual void Push(std::vector<v1::GenerateStreamResponse> events) = 0;

  // Nothing follows. OK: the last event was Completed.
  virtual void Close(const absl::Status& status) = 0;
};

// What the answer to one request looks like.
struct ResponseOptions {
  std::string request_id;
  std::string model;  // the id
  absl::Time received;
  uint64_t seed = 0;
  uint32_t prompt_tokens = 0;
  bool return_text = true;
  bool return_token_ids = false;
  bool logprobs = false;
  bool prompt_logprobs = false;
  // Tokens that end the sequence; their text is withheld unless told.
  std::vector<int32_t> ending_token_ids;
  TextOptions text;
};

// Makes the events of one request from what the step loop says about its
// sequence. Started waits for the first token; then each token becomes at most
// one Delta. Runs on the step loop's thread.
class ResponseBuilder final : public SequenceListener {
 public:
  // `tokenizer` must outlive this. `prompt_ids` are only read here.
  ResponseBuilder(ResponseOptions options, const Tokenizer* tokenizer,
                  std::span<const int32_t> prompt_ids,
                  std::shared_ptr<EventSink> sink);

  void OnPromptTokens(const std::vector<GeneratedToken>& tokens) override;
  bool OnToken(const GeneratedToken& token) override;
  void OnFinished(const SequenceEnd& end) override;
  void OnFailed(const absl::Status& status) override;

 private:
  using Events = std::vector<v1::GenerateStreamResponse>;

  bool PushText(int32_t token_id);
  void AddStarted(Events* events);
  void AddDelta(const GeneratedToken* token, Events* events);
  v1::ChoiceFinished Finished(const SequenceEnd& end) const;
  v1::Completed MakeCompleted(const SequenceEnd& end) const;
  v1::TokenLogprobs Convert(const GeneratedToken& token) const;
  v1::TokenLogprob Convert(const Logprob& logprob) const;

  const ResponseOptions options_;
  const Tokenizer* tokenizer_;
  std::shared_ptr<EventSink> sink_;
  std::optional<TextOutput> text_;  // nothing asks for text: none
  std::vector<v1::TokenLogprobs> prompt_logprobs_;  // until Started
  std::optional<absl::Time> first_token_;           // Started was sent
  int emitted_tokens_ = 0;
};

}  // namespace quatrain
