#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/block_manager.h"
#include "coordinator/request.h"

namespace quatrain {

// One stream of tokens being generated, as the scheduler sees it. Two clocks
// run in it: plans are made ahead, results are committed later.
struct Sequence {
  uint64_t id = 0;  // counts submissions, so it is the age as well
  GenerationRequest request;

  // Commit order.
  std::vector<int32_t> output_token_ids;

  // Plan order.
  int num_drawn_ahead = 0;         // rows planned and not committed yet
  int num_computed_tokens = 0;     // K and V planned, since the admission
  int num_prefill_tokens = 0;      // that the admission knew the ids of
  int num_prompt_scored = 0;       // successors scored, over all admissions
  uint64_t last_draw_step = 0;     // plan of the newest row drawn
  uint64_t last_planned_step = 0;  // plan of the newest chunk
  std::vector<Block> blocks;       // the block table
  std::optional<int> slot;         // while admitted
  uint32_t generation = 0;         // of the slot
  int micro_batch = -1;            // once it decodes

  int prompt_size() const {
    return static_cast<int>(request.prompt_token_ids.size());
  }
  // Tokens whose ids are known: prompt and committed output.
  int num_known_tokens() const {
    return prompt_size() + static_cast<int>(output_token_ids.size());
  }
  // As known tokens, with those still to be committed.
  int num_tokens() const { return num_known_tokens() + num_drawn_ahead; }
  bool is_prefilling() const {
    return num_computed_tokens < num_prefill_tokens;
  }
  int32_t TokenAt(int position) const;  // a known one
};

}  // namespace quatrain
