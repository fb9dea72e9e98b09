#include "coordinator/response_fold.h"

namespace quatrain {
namespace {

v1::Choice* ChoiceAt(uint32_t index, v1::GenerateResponse* response) {
  while (response->choices_size() <= static_cast<int>(index)) {
    v1::Choice* choice = response->add_choices();
    choice->set_index(static_cast<uint32_t>(response->choices_size() - 1));
  }
  return response->mutable_choices(static_cast<int>(index));
}

void FoldStarted(const v1::Started& started, v1::GenerateResponse* response) {
  response->set_request_id(started.request_id());
  response->set_model(started.model());
  *response->mutable_created() = started.created();
  response->set_seed(started.seed());
  *response->mutable_prompt() = started.prompt();
}

void FoldDelta(const v1::Delta& delta, v1::Choice* choice) {
  choice->mutable_text()->append(delta.text());
  choice->mutable_token_ids()->MergeFrom(delta.token_ids());
  choice->mutable_logprobs()->MergeFrom(delta.logprobs());
}

void FoldFinished(const v1::ChoiceFinished& finished, v1::Choice* choice) {
  choice->set_finish_reason(finished.finish_reason());
  switch (finished.matched_case()) {
    case v1::ChoiceFinished::kEosTokenId:
      return choice->set_eos_token_id(finished.eos_token_id());
    case v1::ChoiceFinished::kStopTokenId:
      return choice->set_stop_token_id(finished.stop_token_id());
    case v1::ChoiceFinished::kStopText:
      return choice->set_stop_text(finished.stop_text());
    case v1::ChoiceFinished::MATCHED_NOT_SET:
      return;
  }
}

}  // namespace

void Fold(const v1::GenerateStreamResponse& event,
          v1::GenerateResponse* response) {
  switch (event.event_case()) {
    case v1::GenerateStreamResponse::kStarted:
      return FoldStarted(event.started(), response);
    case v1::GenerateStreamResponse::kDelta:
      return FoldDelta(event.delta(),
                       ChoiceAt(event.delta().choice_index(), response));
    case v1::GenerateStreamResponse::kFinished:
      return FoldFinished(event.finished(),
                          ChoiceAt(event.finished().choice_index(), response));
    case v1::GenerateStreamResponse::kCompleted:
      *response->mutable_usage() = event.completed().usage();
      *response->mutable_timings() = event.completed().timings();
      return;
    case v1::GenerateStreamResponse::EVENT_NOT_SET:
      return;
  }
}

void MergeDelta(const v1::Delta& later, v1::Delta* earlier) {
  earlier->mutable_text()->append(later.text());
  earlier->mutable_token_ids()->MergeFrom(later.token_ids());
  earlier->mutable_logprobs()->MergeFrom(later.logprobs());
}

}  // namespace quatrain
