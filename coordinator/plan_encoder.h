#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/request.h"
#include "coordinator/step_plan.h"

namespace quatrain {

// What the streams of the internal port carry at most.
inline constexpr int kMaxGroupMessageBytes = 16 << 20;

// With so many tokens in a plan its result fits a message, even if every token
// is scored with 20 alternatives: 423 bytes of each row.
inline constexpr int kMaxBatchedTokens = 1 << 15;

// What a rank sent about one step.
struct StepOutcome {
  struct Row {
    int chunk_index = 0;
    int32_t token_id = -1;    // drawn or scored; -1 if the rank sent none
    bool scored = false;      // else drawn
    bool not_finite = false;  // token_id means nothing
    int position = 0;         // of the token
    std::optional<Logprob> logprob;
    std::vector<Logprob> top_logprobs;  // best first
  };
  struct Fault {
    absl::Status status;
    int peer_rank = -1;  // to blame, -1 if unknown
  };

  uint64_t epoch = 0;
  uint64_t step_id = 0;  // 0: opens a stream, says nothing of a step
  int rank = 0;
  std::vector<Row> rows;
  uint64_t digest = 0;
  std::optional<Fault> fault;
  absl::Duration compute_time;
};

// The bytes of quatrain.internal.v1.StepPlan, the same for equal plans.
std::string EncodePlan(const StepPlan& plan, uint64_t epoch);

// Reads a serialized quatrain.internal.v1.StepResult. InvalidArgument if it is
// none.
absl::StatusOr<StepOutcome> DecodeOutcome(const std::string& bytes);

// Internal, naming the step, the chunk, what came and what was expected, unless
// `outcome` has exactly the rows that `plan` asked for, in order.
absl::Status CheckRows(const StepPlan& plan, const StepOutcome& outcome);

}  // namespace quatrain
