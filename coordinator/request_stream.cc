#include "coordinator/request_stream.h"

#include <utility>
#include <vector>

namespace quatrain {
namespace {

GeneratedToken TokenOf(const StepOutcome::Row& row) {
  return {.token_id = row.token_id,
          .logprob = row.logprob,
          .top_logprobs = row.top_logprobs};
}

bool NamesToken(std::optional<FinishReason> reason) {
  return reason == FinishReason::kEos || reason == FinishReason::kStopToken;
}

}  // namespace

RequestStream::RequestStream(const GenerationRequest& request,
                             std::unique_ptr<SequenceListener> listener,
                             SteadyTime submitted)
    : request_id_(request.request_id),
      listener_(std::move(listener)),
      submitted_(submitted) {
  if (request.prompt_logprobs)
    first_prompt_token_ = request.prompt_token_ids.front();
}

bool RequestStream::MarkPlanned(SteadyTime now) {
  if (planned()) return false;
  first_planned_ = now;
  return true;
}

void RequestStream::TellPrompt(std::span<const StepOutcome::Row> rows) {
  std::vector<GeneratedToken> tokens;
  if (first_prompt_token_) tokens.push_back({.token_id = *first_prompt_token_});
  first_prompt_token_.reset();
  for (const StepOutcome::Row& row : rows) tokens.push_back(TokenOf(row));
  listener_->OnPromptTokens(tokens);
}

std::optional<SequenceEnd> RequestStream::TellToken(
    const StepOutcome::Row& row, const Scheduler::Committed& committed,
    SteadyTime now) {
  if (committed.num_output_tokens == 1) first_token_ = now;
  const bool stop_text = listener_->OnToken(TokenOf(row));
  std::optional<FinishReason> reason = committed.reason;
  // Text that completes a stop string explains an end better than a count.
  if (stop_text && !NamesToken(reason)) reason = FinishReason::kStopText;
  if (!reason) return std::nullopt;
  return SequenceEnd{.reason = *reason,
                     .matched_token_id = NamesToken(reason) ? row.token_id : -1,
                     .completion_tokens = committed.num_output_tokens,
                     .timings = {.queue = *first_planned_ - submitted_,
                                 .prefill = first_token_ - *first_planned_,
                                 .decode = now - first_token_}};
}

}  // namespace quatrain
