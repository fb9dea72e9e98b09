#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/step.h"
#include "worker/local_group.h"

namespace quatrain {

// A sequence to run on a local group.
struct LocalRequest {
  std::vector<int32_t> prompt;  // at least one id
  int num_tokens = 0;           // to draw; ends of text do not count
  SamplingSetup sampling;
  bool prompt_logprobs = false;
  int prompt_top_logprobs = 0;
};

// What became of it.
struct LocalOutput {
  std::vector<int32_t> token_ids;
  // With sampling.logprobs, one per token: its own and the best.
  std::vector<TokenLogprob> logprobs;
  std::vector<std::vector<TokenLogprob>> top_logprobs;
  // With prompt_logprobs, of prompt tokens 1, 2, ...
  std::vector<TokenLogprob> prompt_logprobs;
  std::vector<std::vector<TokenLogprob>> prompt_top_logprobs;
  bool not_finite = false;
};

struct LocalDriverOptions {
  int chunk_tokens = 256;   // of one prompt in one plan
  int plans_in_flight = 0;  // 0: one more than micro-batches
  // No sequence decodes before all prompts are done.
  bool prefill_first = false;
  // Called when a token of requests[index] has been drawn.
  std::function<void(size_t index)> on_token;
};

// Runs all requests at once, each in its slot and micro-batch, with several
// plans in flight, and returns their outputs in order. A schedule for tests and
// tools, without text, preemption or admission: all slots and blocks must fit.
// InvalidArgument if they do not; otherwise the group's fault.
absl::StatusOr<std::vector<LocalOutput>> RunLocally(
    LocalGroup& group, std::span<const LocalRequest> requests,
    const LocalDriverOptions& options = {});

// The log-probability of each of ids[1..] given those before it.
absl::StatusOr<std::vector<float>> ScoreTokens(LocalGroup& group,
                                               std::span<const int32_t> ids);

}  // namespace quatrain
