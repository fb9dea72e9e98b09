#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/status/status.h"
#include "kernels/step.h"
#include "kernels/tensor_group.h"
#include "worker/batch_builder.h"
#include "worker/id_channel.h"

namespace quatrain {

// Knows what every slot sampled last. Each plan that draws makes one message on
// the id channel; the ledger takes them in plan order, as late as it may:
// before a plan, all up to the newest one that the plan continues, and never
// more than kMaxLag plans behind. Both follow from the plans alone, so the
// ranks of a stage, of which only the first has the channel, agree on every
// collective. One per rank and epoch; used by the rank's thread.
class SampleLedger {
 public:
  static constexpr uint64_t kMaxLag = 32;  // < kMaxSamplesInFlight

  // `ids`: null but on the first rank of the stage. Both outlive the ledger.
  SampleLedger(IdChannel* ids, TensorGroup* group, int num_slots);

  // Fills step.sampled of the next plan, waiting for its ids, and remembers
  // what the plan itself will draw. Not OK if the channel or the group failed.
  absl::Status Prepare(PlannedStep* planned);

 private:
  // A message that is on its way.
  struct Expected {
    uint64_t step_id = 0;
    std::vector<int> slots;  // in row order
  };

  absl::Status ReceiveUpTo(uint64_t step_id);
  absl::Status Receive(const Expected& expected, std::vector<int32_t>* ids);

  IdChannel* const ids_;
  TensorGroup* const group_;
  std::deque<Expected> expected_;
  std::vector<int32_t> last_sample_;  // per slot
};

}  // namespace quatrain
