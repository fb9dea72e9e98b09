#include "coordinator/digest_ledger.h"

#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/digest.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

// Ranks report at least every 32 plans or 100 ms.
constexpr size_t kRememberedSteps = 8192;

}  // namespace

absl::Status DigestLedger::Committed(const StepPlan& plan,
                                     const std::string& plan_bytes,
                                     const StepOutcome& outcome) {
  expected_.push_back(Next(plan, plan_bytes));
  if (expected_.size() > kRememberedSteps) expected_.pop_front();
  last_step_ = plan.step_id;
  RememberSamples(plan, outcome);

  early_.emplace(plan.step_id, Report{outcome.rank, outcome.digest});
  const auto [begin, end] = early_.equal_range(plan.step_id);
  for (auto report = begin; report != end; ++report)
    RETURN_IF_ERROR(Compare(report->second, plan.step_id, &expected_.back()));
  early_.erase(begin, end);
  return absl::OkStatus();
}

absl::Status DigestLedger::Reported(int rank, uint64_t step_id,
                                    uint64_t digest) {
  if (step_id > last_step_) {
    early_.emplace(step_id, Report{rank, digest});
    return absl::OkStatus();
  }
  const uint64_t age = last_step_ - step_id;
  if (age >= expected_.size()) return absl::OkStatus();
  return Compare({rank, digest}, step_id,
                 &expected_[expected_.size() - 1 - age]);
}

DigestLedger::Expected DigestLedger::Next(const StepPlan& plan,
                                          const std::string& plan_bytes) const {
  const Expected previous = expected_.empty() ? Expected() : expected_.back();
  const auto bytes = std::as_bytes(std::span(plan_bytes));
  Expected next;
  next.other_stages = ChainDigest(previous.other_stages, bytes);
  next.first_stage.reset();
  if (all_ids_known_) {
    const std::vector<int32_t> ids = EmbeddedIds(plan);
    next.first_stage = ChainDigest(ChainDigest(*previous.first_stage, bytes),
                                   std::as_bytes(std::span(ids)));
  }
  return next;
}

std::vector<int32_t> DigestLedger::EmbeddedIds(const StepPlan& plan) const {
  std::vector<int32_t> ids;
  for (const PlannedChunk& chunk : plan.chunks) {
    if (chunk.is_continue()) {
      ids.push_back(last_sample_.at(chunk.slot));
    } else {
      ids.insert(ids.end(), chunk.token_ids.begin(), chunk.token_ids.end());
    }
  }
  return ids;
}

void DigestLedger::RememberSamples(const StepPlan& plan,
                                   const StepOutcome& outcome) {
  for (const StepOutcome::Row& row : outcome.rows) {
    if (row.scored) continue;
    last_sample_[plan.chunks[row.chunk_index].slot] = row.token_id;
    if (row.not_finite) all_ids_known_ = false;
  }
}

absl::Status DigestLedger::Compare(const Report& report, uint64_t step_id,
                                   Expected* expected) const {
  const int stage = stage_of_rank_[report.rank];
  if (stage == 0 && !expected->first_stage)
    expected->first_stage = report.digest;
  const uint64_t wanted =
      stage == 0 ? *expected->first_stage : expected->other_stages;
  if (report.digest == wanted) return absl::OkStatus();
  return absl::InternalError(absl::StrFormat(
      "rank %d diverged: digest %016x after step %d, stage %d expects %016x",
      report.rank, report.digest, step_id, stage, wanted));
}

}  // namespace quatrain
