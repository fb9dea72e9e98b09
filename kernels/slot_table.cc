#include "kernels/slot_table.h"

#include <algorithm>

#include "base/check.h"

namespace quatrain {

SlotTable::SlotTable(int num_slots, int max_blocks, int block_size)
    : max_blocks_(max_blocks), block_size_(block_size), slots_(num_slots) {}

StepView SlotTable::Apply(const Step& step) {
  token_ids_.clear();
  positions_.clear();
  slot_mapping_.clear();
  context_lens_.clear();
  logits_rows_.clear();
  cu_seqlens_.assign(1, 0);
  const int num_chunks = static_cast<int>(step.chunks.size());
  block_tables_.assign(static_cast<size_t>(num_chunks) * max_blocks_, -1);

  for (const SlotToken& sampled : step.sampled)
    slots_[sampled.slot].last_token = sampled.token_id;
  for (const int slot : step.released_slots) slots_[slot] = Slot();
  for (int i = 0; i < num_chunks; ++i) ApplyChunk(step.chunks[i], i);

  return {.num_tokens = static_cast<int>(token_ids_.size()),
          .num_sequences = num_chunks,
          .block_stride = max_blocks_,
          .token_ids = token_ids_.data(),
          .positions = positions_.data(),
          .slot_mapping = slot_mapping_.data(),
          .cu_seqlens = cu_seqlens_.data(),
          .context_lens = context_lens_.data(),
          .block_tables = block_tables_.data(),
          .logits_rows = logits_rows_};
}

void SlotTable::ApplyChunk(const ChunkDelta& delta, int chunk_index) {
  Slot& slot = slots_.at(delta.slot);
  if (delta.new_tenant) slot = Slot();
  if (delta.sampling) slot.sampling = *delta.sampling;
  slot.blocks.insert(slot.blocks.end(), delta.new_blocks.begin(),
                     delta.new_blocks.end());
  CHECK_LE(static_cast<int>(slot.blocks.size()), max_blocks_);

  const int first_token = static_cast<int>(token_ids_.size());
  if (delta.token_ids.empty()) {
    AppendToken(slot, slot.last_token, slot.length++);
  } else {
    slot.length = delta.start;
    for (const int32_t id : delta.token_ids)
      AppendToken(slot, id, slot.length++);
  }
  std::copy(
      slot.blocks.begin(), slot.blocks.end(),
      block_tables_.begin() + static_cast<size_t>(chunk_index) * max_blocks_);
  cu_seqlens_.push_back(static_cast<int32_t>(token_ids_.size()));
  context_lens_.push_back(slot.length);
  AppendLogitsRows(delta, slot, chunk_index, first_token);
}

void SlotTable::AppendToken(const Slot& slot, int32_t token_id, int position) {
  const size_t block = position / block_size_;
  CHECK_LT(block, slot.blocks.size()) << "position " << position;
  token_ids_.push_back(token_id);
  positions_.push_back(position);
  slot_mapping_.push_back(static_cast<int64_t>(slot.blocks[block]) *
                              block_size_ +
                          position % block_size_);
}

void SlotTable::AppendLogitsRows(const ChunkDelta& delta, const Slot& slot,
                                 int chunk_index, int first_token) {
  const int end = static_cast<int>(token_ids_.size());
  if (delta.logits_wanted == LogitsWanted::kAll) {
    for (int t = first_token; t < end; ++t) {
      const int32_t target =
          t + 1 < end ? token_ids_[t + 1] : delta.next_prompt_token;
      if (target < 0) continue;
      logits_rows_.push_back({.token_index = t,
                              .chunk_index = chunk_index,
                              .position = positions_[t],
                              .target = target,
                              .top_logprobs = delta.prompt_top_logprobs,
                              .logprobs = true});
    }
  }
  if (delta.draw) {
    logits_rows_.push_back(
        {.token_index = end - 1,
         .chunk_index = chunk_index,
         .position = positions_[end - 1],
         .draw = true,
         .top_logprobs = slot.sampling.top_logprobs,
         .logprobs = slot.sampling.logprobs || slot.sampling.top_logprobs > 0,
         .sampling = slot.sampling});
  }
}

}  // namespace quatrain
