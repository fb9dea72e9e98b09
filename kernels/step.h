#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace quatrain {

inline constexpr int kMaxTopLogprobs = 20;

// How one sequence draws its tokens; fixed from its admission to its end.
struct SamplingSetup {
  float temperature = 1.0f;  // 0 = greedy, else 0.01..100
  int top_k = 0;             // 0 = off
  float top_p = 1.0f;        // (0, 1]
  uint64_t seed = 0;
  uint32_t choice = 0;    // index among the request's choices
  bool logprobs = false;  // of the chosen token
  int top_logprobs = 0;   // 0..kMaxTopLogprobs, implies logprobs
};

// Which of a chunk's tokens go through the head.
enum class LogitsWanted : uint8_t {
  kNone,  // a chunk that does not reach the end of its prompt
  kLast,  // the last token's logits are drawn from
  kAll,   // every token but the last is scored against its successor, for
          // prompt log-probabilities; the last is drawn from if `draw`
};

// What changes for one sequence with this step.
struct ChunkDelta {
  int slot = 0;
  bool new_tenant = false;  // the slot's former table and state are forgotten
  // Prefill: the tokens and the position of the first. Empty: continue, one
  // token, the slot's own last sample at the slot's own length.
  std::vector<int32_t> token_ids;
  int start = 0;
  std::vector<int32_t> new_blocks;  // appended to the slot's block table
  std::optional<SamplingSetup> sampling;
  LogitsWanted logits_wanted = LogitsWanted::kNone;
  bool draw = false;  // the last token's logits are drawn from
  // With kAll: what follows the chunk's last token in the prompt, -1 if the
  // prompt ends there.
  int32_t next_prompt_token = -1;
  int prompt_top_logprobs = 0;  // with kAll: 0..kMaxTopLogprobs
};

// A slot's sample of an earlier step, known only now.
struct SlotToken {
  int slot = 0;
  int32_t token_id = 0;
};

// One forward pass as it reaches the backend: deltas, not tables.
struct Step {
  uint64_t step_id = 0;
  std::vector<int> released_slots;
  // Applied before the chunks: the last samples that `continue` refers to.
  std::vector<SlotToken> sampled;
  std::vector<ChunkDelta> chunks;
};

// One row of logits that somebody wants.
struct LogitsRow {
  int token_index = 0;  // in [0, T)
  int chunk_index = 0;  // in [0, S)
  int position = 0;     // of the token whose successor is drawn or scored
  bool draw = false;    // else `target` is scored
  int32_t target = -1;
  int top_logprobs = 0;
  bool logprobs = false;
  SamplingSetup sampling;  // where draw
};

// What one step computes on, flat: T tokens of S sequences. Valid until the
// next BeginStep. The tokens of sequence s are [cu_seqlens[s],
// cu_seqlens[s+1]).
struct StepView {
  int num_tokens = 0;                     // T
  int num_sequences = 0;                  // S
  int block_stride = 0;                   // B, row length of block_tables
  const int32_t* token_ids = nullptr;     // [T]; -1 on ranks that embed nothing
  const int32_t* positions = nullptr;     // [T], 0-based within the sequence
  const int64_t* slot_mapping = nullptr;  // [T], block_id * block_size + offset
  const int32_t* cu_seqlens = nullptr;    // [S + 1], from 0 to T
  const int32_t* context_lens = nullptr;  // [S], cached tokens, this step's too
  const int32_t* block_tables = nullptr;  // [S, B], unused entries are -1
  std::span<const LogitsRow> logits_rows;  // ascending by token_index
};

// One log-probability: natural log, f32, of the raw model distribution.
struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0.0f;
  uint32_t rank = 0;  // 1 = the most probable; ties count by token id
};

// What became of one LogitsRow.
struct SampledRow {
  int32_t token_id = -1;    // drawn, or the target
  bool not_finite = false;  // the row met a value that is not finite
  std::optional<TokenLogprob> logprob;     // of token_id, where asked for
  std::vector<TokenLogprob> top_logprobs;  // best first
};

}  // namespace quatrain
