#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace quatrain {

// A request as the step loop sees it: validated, tokenized, every default
// filled in. No text, no protobuf.
struct GenerationRequest {
  std::string request_id;
  std::vector<int32_t> prompt_token_ids;  // at least one

  float temperature = 1.0f;  // 0 = greedy
  int top_k = 0;             // 0 = off
  float top_p = 1.0f;
  uint64_t seed = 0;
  bool logprobs = false;               // of the drawn token
  int top_logprobs = 0;                // 0..20
  std::optional<int> prompt_logprobs;  // 0..20 alternatives; unset = none

  int max_tokens = 0;  // >= 1; prompt + max_tokens may pass the context
  std::vector<int32_t> eos_token_ids;  // empty with ignore_eos
  std::vector<int32_t> stop_token_ids;
  int priority = 0;  // higher is sooner
  absl::Time deadline =
      absl::InfiniteFuture();  // dropped while queued after it
};

struct Logprob {
  int32_t token_id = 0;
  float logprob = 0.0f;
  uint32_t rank = 0;  // 1 = most probable
};

// One committed token, or one scored token of the prompt.
struct GeneratedToken {
  int32_t token_id = 0;
  std::optional<Logprob> logprob;
  std::vector<Logprob> top_logprobs;  // best first
};

enum class FinishReason {
  kEos,
  kStopToken,
  kStopText,       // the listener's OnToken said so
  kLength,         // max_tokens
  kContextLength,  // max_model_len
};

struct SequenceTimings {
  absl::Duration queue;    // submitted until first planned
  absl::Duration prefill;  // first planned until first token
  absl::Duration decode;   // first token until last
};

struct SequenceEnd {
  FinishReason reason = FinishReason::kLength;
  int32_t matched_token_id = -1;  // with kEos and kStopToken
  int completion_tokens = 0;
  int cached_prompt_tokens = 0;
  SequenceTimings timings;
};

// Receives what becomes of one request. Called on the step loop's thread, in
// commit order; must not block. The last call is OnFinished or OnFailed, after
// which the step loop drops the listener.
class SequenceListener {
 public:
  virtual ~SequenceListener() = default;

  // Scored prompt tokens, in order, the first has no log-probability; called
  // before the first OnToken, perhaps in several pieces.
  virtual void OnPromptTokens(const std::vector<GeneratedToken>& tokens) = 0;

  // One committed token, the EOS or stop token too. True if its text completes
  // a stop string: then the sequence ends with kStopText.
  virtual bool OnToken(const GeneratedToken& token) = 0;

  virtual void OnFinished(const SequenceEnd& end) = 0;
  virtual void OnFailed(const absl::Status& status) = 0;
};

}  // namespace quatrain
