#include "coordinator/response_builder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/proto_time.h"
#include "coordinator/rich_status.h"

namespace quatrain {
namespace {

bool NeedsText(const ResponseOptions& options) {
  return options.return_text || !options.text.stop.empty();
}

}  // namespace

ResponseBuilder::ResponseBuilder(ResponseOptions options,
                                 const Tokenizer* tokenizer,
                                 std::span<const int32_t> prompt_ids,
                                 std::shared_ptr<EventSink> sink)
    : options_(std::move(options)),
      tokenizer_(tokenizer),
      sink_(std::move(sink)) {
  if (NeedsText(options_)) text_.emplace(tokenizer, prompt_ids, options_.text);
}

void ResponseBuilder::OnPromptTokens(
    const std::vector<GeneratedToken>& tokens) {
  if (!options_.prompt_logprobs) return;
  for (const GeneratedToken& token : tokens)
    prompt_logprobs_.push_back(Convert(token));
}

bool ResponseBuilder::PushText(int32_t token_id) {
  const auto& ending = options_.ending_token_ids;
  const bool ends =
      std::find(ending.begin(), ending.end(), token_id) != ending.end();
  if (!text_ || (ends && !options_.text.include_stop_in_output)) return false;
  return text_->Push(token_id);
}

bool ResponseBuilder::OnToken(const GeneratedToken& token) {
  const bool stopped = PushText(token.token_id);
  Events events;
  AddStarted(&events);
  ++emitted_tokens_;
  AddDelta(&token, &events);
  if (!events.empty()) sink_->Push(std::move(events));
  return stopped;
}

void ResponseBuilder::OnFinished(const SequenceEnd& end) {
  if (text_) text_->Finish();
  Events events;
  AddStarted(&events);
  AddDelta(nullptr, &events);
  *events.emplace_back().mutable_finished() = Finished(end);
  *events.emplace_back().mutable_completed() = MakeCompleted(end);
  sink_->Push(std::move(events));
  sink_->Close(absl::OkStatus());
}

void ResponseBuilder::OnFailed(const absl::Status& status) {
  if (!first_token_) return sink_->Close(status);
  sink_->Close(WithMetadata(
      status, {{"emitted_tokens", absl::StrCat(emitted_tokens_)}}));
}

void ResponseBuilder::AddStarted(Events* events) {
  if (first_token_) return;
  first_token_ = absl::Now();
  v1::Started* started = events->emplace_back().mutable_started();
  started->set_request_id(options_.request_id);
  started->set_model(options_.model);
  *started->mutable_created() = ToTimestamp(options_.received);
  started->set_seed(options_.seed);
  v1::PromptInfo* prompt = started->mutable_prompt();
  prompt->set_prompt_tokens(options_.prompt_tokens);
  prompt->set_cached_prompt_tokens(0);  // known: there is no prefix cache
  for (v1::TokenLogprobs& logprobs : prompt_logprobs_)
    *prompt->add_logprobs() = std::move(logprobs);
  prompt_logprobs_ = {};
}

// What is new: of `token`, if there is one, and of the text. An empty delta is
// left out.
void ResponseBuilder::AddDelta(const GeneratedToken* token, Events* events) {
  v1::Delta delta;
  if (options_.return_text) delta.set_text(text_->Take());
  if (token && options_.return_token_ids)
    delta.add_token_ids(static_cast<uint32_t>(token->token_id));
  if (token && options_.logprobs) *delta.add_logprobs() = Convert(*token);
  if (delta.ByteSizeLong() == 0) return;
  *events->emplace_back().mutable_delta() = std::move(delta);
}

v1::ChoiceFinished ResponseBuilder::Finished(const SequenceEnd& end) const {
  v1::ChoiceFinished finished;
  finished.set_finish_reason(v1::FINISH_REASON_STOP);
  if (text_ && text_->matched_stop()) {
    finished.set_stop_text(*text_->matched_stop());
    return finished;
  }
  switch (end.reason) {
    case FinishReason::kEos:
      finished.set_eos_token_id(static_cast<uint32_t>(end.matched_token_id));
      break;
    case FinishReason::kStopToken:
      finished.set_stop_token_id(static_cast<uint32_t>(end.matched_token_id));
      break;
    case FinishReason::kStopText:
      break;
    case FinishReason::kLength:
      finished.set_finish_reason(v1::FINISH_REASON_LENGTH);
      break;
    case FinishReason::kContextLength:
      finished.set_finish_reason(v1::FINISH_REASON_CONTEXT_LENGTH);
      break;
  }
  return finished;
}

v1::Completed ResponseBuilder::MakeCompleted(const SequenceEnd& end) const {
  v1::Completed completed;
  v1::Usage* usage = completed.mutable_usage();
  usage->set_prompt_tokens(options_.prompt_tokens);
  usage->set_completion_tokens(static_cast<uint32_t>(end.completion_tokens));
  usage->set_total_tokens(usage->prompt_tokens() + usage->completion_tokens());
  usage->set_cached_prompt_tokens(
      static_cast<uint32_t>(end.cached_prompt_tokens));
  v1::Timings* timings = completed.mutable_timings();
  *timings->mutable_queue() = ToDuration(end.timings.queue);
  *timings->mutable_prefill() = ToDuration(end.timings.prefill);
  *timings->mutable_decode() = ToDuration(end.timings.decode);
  *timings->mutable_time_to_first_token() =
      ToDuration(*first_token_ - options_.received);
  *timings->mutable_total() = ToDuration(absl::Now() - options_.received);
  return completed;
}

v1::TokenLogprobs ResponseBuilder::Convert(const GeneratedToken& token) const {
  v1::TokenLogprobs logprobs;
  if (token.logprob) {
    *logprobs.mutable_token() = Convert(*token.logprob);
  } else {
    logprobs.mutable_token()->set_token_id(
        static_cast<uint32_t>(token.token_id));
    logprobs.mutable_token()->set_text(tokenizer_->TokenBytes(token.token_id));
  }
  bool listed = token.top_logprobs.empty() || !token.logprob;
  for (const Logprob& top : token.top_logprobs) {
    *logprobs.add_top() = Convert(top);
    listed = listed || top.token_id == token.token_id;
  }
  if (!listed) *logprobs.add_top() = logprobs.token();
  return logprobs;
}

v1::TokenLogprob ResponseBuilder::Convert(const Logprob& logprob) const {
  v1::TokenLogprob converted;
  converted.set_token_id(static_cast<uint32_t>(logprob.token_id));
  converted.set_text(tokenizer_->TokenBytes(logprob.token_id));
  converted.set_logprob(logprob.logprob);
  converted.set_rank(logprob.rank);
  return converted;
}

}  // namespace quatrain
