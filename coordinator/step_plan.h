#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace quatrain {

// How a sequence draws, as its slot is told once.
struct PlannedSampling {
  float temperature = 1.0f;  // 0 = greedy
  int top_k = 0;             // 0 = off
  float top_p = 1.0f;        // (0, 1]
  uint64_t seed = 0;
  bool logprobs = false;
  int top_logprobs = 0;  // 0..20
  bool operator==(const PlannedSampling&) const = default;
};

// The part of one sequence that runs in a step.
struct PlannedChunk {
  uint64_t sequence_id = 0;  // of the scheduler; stays with the coordinator
  int slot = 0;
  uint32_t generation = 0;

  // Prefill: the ids and the position of the first. Empty ids: one token, the
  // slot's last sample, which step `sampled_by` draws.
  std::vector<int32_t> token_ids;
  int start = 0;
  uint64_t sampled_by = 0;

  std::vector<int32_t> new_blocks;          // appended to the block table
  std::optional<PlannedSampling> sampling;  // with a slot's first chunk
  bool draw = false;  // sample from the last token's logits
  // Prompt log-probabilities: how many of the chunk's tokens, from the first,
  // are scored against their successor in the prompt (0, all but the last, or
  // all); the last one's successor when all are.
  int num_scored = 0;
  int32_t next_prompt_token = -1;
  int prompt_top_logprobs = 0;  // 0..20

  bool is_continue() const { return token_ids.empty(); }
  int num_tokens() const {
    return is_continue() ? 1 : static_cast<int>(token_ids.size());
  }
};

// One micro-batch's step, before it becomes bytes.
struct StepPlan {
  uint64_t step_id = 0;  // from 1, without gaps
  int micro_batch = 0;
  std::vector<int> released_slots;
  std::vector<PlannedChunk> chunks;

  int num_tokens() const {
    int total = 0;
    for (const PlannedChunk& chunk : chunks) total += chunk.num_tokens();
    return total;
  }
};

}  // namespace quatrain
