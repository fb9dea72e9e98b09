#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/plan_encoder.h"
#include "coordinator/step_plan.h"

namespace quatrain {

// Compares the digests that ranks report with those that follow from the plans
// and, for the first stage, from the ids that it embedded: a rank that diverges
// is found. Not thread-safe.
class DigestLedger {
 public:
  // stage_of_rank: one entry per rank.
  explicit DigestLedger(std::vector<int> stage_of_rank)
      : stage_of_rank_(std::move(stage_of_rank)) {}

  // The sampling rank's result of a plan; called for every plan, oldest first.
  // Internal, naming rank and step, if an earlier report of that step differs.
  absl::Status Committed(const StepPlan& plan, const std::string& plan_bytes,
                         const StepOutcome& outcome);

  // A rank's digest after a step, before or after that step's commit.
  absl::Status Reported(int rank, uint64_t step_id, uint64_t digest);

 private:
  struct Expected {
    // Unknown after a row that was not finite, for no id came with it: then
    // the first report of a step is taken for true.
    std::optional<uint64_t> first_stage = 0;
    uint64_t other_stages = 0;
  };
  struct Report {
    int rank = 0;
    uint64_t digest = 0;
  };

  Expected Next(const StepPlan& plan, const std::string& plan_bytes) const;
  std::vector<int32_t> EmbeddedIds(const StepPlan& plan) const;
  void RememberSamples(const StepPlan& plan, const StepOutcome& outcome);
  absl::Status Compare(const Report& report, uint64_t step_id,
                       Expected* expected) const;

  const std::vector<int> stage_of_rank_;
  uint64_t last_step_ = 0;  // committed
  bool all_ids_known_ = true;
  // Of the steps up to last_step_, the newest last.
  std::deque<Expected> expected_;
  std::multimap<uint64_t, Report> early_;         // of steps after last_step_
  std::unordered_map<int, int32_t> last_sample_;  // of each slot
};

}  // namespace quatrain
