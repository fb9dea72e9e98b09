#pragma once

#include <cstdint>
#include <vector>

#include "kernels/step.h"

namespace quatrain {

// A rank's memory of its sequences between steps: per slot the block table, the
// length, the last token and how it samples. It follows from the plans alone,
// so every rank of a group holds the same. Host memory; backends with a device
// keep theirs there. Not thread-safe.
class SlotTable {
 public:
  // num_slots: slots are in [0, num_slots). max_blocks: of one sequence.
  SlotTable(int num_slots, int max_blocks, int block_size);

  // Applies `step` in plan order and lays it out flat. A delta that no
  // coordinator may send (slot out of range, continue on an empty slot, more
  // tokens than blocks) is a broken invariant: the caller validated it.
  // The view stays valid until the next call.
  StepView Apply(const Step& step);

  int length(int slot) const { return slots_[slot].length; }
  int num_blocks(int slot) const {
    return static_cast<int>(slots_[slot].blocks.size());
  }

 private:
  struct Slot {
    std::vector<int32_t> blocks;
    int length = 0;  // tokens whose K and V are stored
    int32_t last_token = -1;
    SamplingSetup sampling;
  };

  void ApplyChunk(const ChunkDelta& delta, int chunk_index);
  void AppendToken(const Slot& slot, int32_t token_id, int position);
  void AppendLogitsRows(const ChunkDelta& delta, const Slot& slot,
                        int chunk_index, int first_token);

  const int max_blocks_;
  const int block_size_;
  std::vector<Slot> slots_;

  // The flat arrays behind the last view.
  std::vector<int32_t> token_ids_, positions_, cu_seqlens_, context_lens_,
      block_tables_;
  std::vector<int64_t> slot_mapping_;
  std::vector<LogitsRow> logits_rows_;
};

}  // namespace quatrain
