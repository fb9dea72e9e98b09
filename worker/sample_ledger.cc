#include "worker/sample_ledger.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace quatrain {

SampleLedger::SampleLedger(IdChannel* ids, TensorGroup* group, int num_slots)
    : ids_(ids), group_(group), last_sample_(num_slots, -1) {}

absl::Status SampleLedger::Prepare(PlannedStep* planned) {
  const uint64_t step_id = planned->step.step_id;
  uint64_t needed = step_id > kMaxLag ? step_id - kMaxLag : 0;
  for (const PlannedStep::Continued& row : planned->continued)
    needed = std::max(needed, row.sampled_by);
  RETURN_IF_ERROR(ReceiveUpTo(needed));
  for (const PlannedStep::Continued& row : planned->continued)
    planned->step.sampled.push_back({row.slot, last_sample_[row.slot]});
  if (!planned->drawn_slots.empty())
    expected_.push_back({step_id, planned->drawn_slots});
  return absl::OkStatus();
}

absl::Status SampleLedger::ReceiveUpTo(uint64_t step_id) {
  while (!expected_.empty() && expected_.front().step_id <= step_id) {
    const Expected expected = std::move(expected_.front());
    expected_.pop_front();
    std::vector<int32_t> ids(expected.slots.size(), 0);
    RETURN_IF_ERROR(Receive(expected, &ids));
    // A sum in which all others are zero is a broadcast.
    group_->AllReduceSum(std::span<int32_t>(ids));
    RETURN_IF_ERROR(group_->status());
    for (size_t i = 0; i < ids.size(); ++i)
      last_sample_[expected.slots[i]] = ids[i];
  }
  return absl::OkStatus();
}

absl::Status SampleLedger::Receive(const Expected& expected,
                                   std::vector<int32_t>* ids) {
  if (ids_ == nullptr) return absl::OkStatus();
  Samples samples;
  RETURN_IF_ERROR(ids_->Receive(&samples));
  if (samples.step_id != expected.step_id ||
      samples.token_ids.size() != ids->size())
    return absl::InternalError(
        absl::StrCat("id channel: ", samples.token_ids.size(), " ids of plan ",
                     samples.step_id, ", expected ", ids->size(), " of plan ",
                     expected.step_id));
  *ids = std::move(samples.token_ids);
  return absl::OkStatus();
}

}  // namespace quatrain
