#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/steady_time.h"
#include "coordinator/plan_encoder.h"
#include "coordinator/request.h"
#include "coordinator/scheduler.h"

namespace quatrain {

// A running request's way out: its listener and what the end will say of it.
// Belongs to the step loop's thread.
class RequestStream {
 public:
  RequestStream(const GenerationRequest& request,
                std::unique_ptr<SequenceListener> listener,
                SteadyTime submitted);

  const std::string& request_id() const { return request_id_; }

  // A plan holds part of the request. True the first time.
  bool MarkPlanned(SteadyTime now);
  bool planned() const { return first_planned_.has_value(); }

  // Whether the prompt's first token, which nothing scores, is still untold.
  bool owes_first_prompt_token() const {
    return first_prompt_token_.has_value();
  }
  // Scored rows, in order; the first call tells the first prompt token too.
  void TellPrompt(std::span<const StepOutcome::Row> rows);

  // A committed token. The end, if this was the last one.
  std::optional<SequenceEnd> TellToken(const StepOutcome::Row& row,
                                       const Scheduler::Committed& committed,
                                       SteadyTime now);

  void Finish(const SequenceEnd& end) { listener_->OnFinished(end); }
  void Fail(const absl::Status& status) { listener_->OnFailed(status); }

 private:
  std::string request_id_;
  std::unique_ptr<SequenceListener> listener_;
  std::optional<int32_t> first_prompt_token_;
  SteadyTime submitted_;
  std::optional<SteadyTime> first_planned_;
  SteadyTime first_token_;
};

}  // namespace quatrain
