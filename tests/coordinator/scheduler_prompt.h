#pragma once

#include <cstdint>

#include "coordinator/request.h"
#include "tests/coordinator/slot_mirror.h"

namespace quatrain {

inline constexpr int32_t kEos = 100'000;

// Of the tokens that SlotMirror expects of the sequence.
inline GenerationRequest Prompt(int num_tokens, int max_tokens = 100,
                                uint64_t sequence_id = 1) {
  GenerationRequest request;
  for (int i = 0; i < num_tokens; ++i)
    request.prompt_token_ids.push_back(SlotMirror::TokenAt(sequence_id, i));
  request.max_tokens = max_tokens;
  request.eos_token_ids = {kEos};
  return request;
}

}  // namespace quatrain
