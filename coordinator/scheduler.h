#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/block_manager.h"
#include "coordinator/sequence.h"
#include "coordinator/step_plan.h"

namespace quatrain {

// Decides before every step which sequences run and how many of their tokens.
// Pure bookkeeping: no threads, no clock, no I/O. Not thread-safe; the step
// loop is its only caller.
//
// Plans may be made ahead of results (docs/steps.md): slots and blocks change
// with Plan(), text with Commit(). A row whose sequence has ended by the time
// of its commit is dropped.
class Scheduler {
 public:
  struct Options {
    int max_num_seqs = 16;             // sequences with a slot
    int max_num_batched_tokens = 512;  // tokens of one plan
    int max_chunk_tokens = 0;          // tokens of one chunk, 0 = no limit
    int max_model_len = 2048;          // prompt and output of one sequence
    int num_micro_batches = 1;
  };

  // What a committed row means for its sequence.
  struct Committed {
    int num_output_tokens = 0;
    std::optional<FinishReason> reason;  // set if this was the last token
  };

  // `blocks` must outlive the scheduler.
  Scheduler(Options options, BlockManager* blocks);

  // InvalidArgument if a prompt of that many tokens and one more token can
  // never run.
  absl::Status CheckFits(int prompt_size) const;

  // Takes a request that CheckFits; it waits for its first plan. Returns the
  // sequence's id, which is never used again.
  uint64_t Add(GenerationRequest request);

  // The next plan, or nothing if no sequence can go on before a commit or an
  // Add. One token for each decoding sequence of the plan's micro-batch, then
  // prompt chunks while the token budget lasts, those that run before those
  // that wait, by priority, then age. A prompt is admitted when blocks for all
  // of it and a token are free. When decoding sequences need more blocks than
  // there are, the least important is preempted: it gives up slot and blocks
  // and is prefilled again later, before younger ones.
  std::optional<StepPlan> Plan();

  // Records the token drawn for a sequence by the oldest of its plans that is
  // not committed. Nothing if the sequence has ended: the row is dropped. A
  // sequence that ends is forgotten at once.
  std::optional<Committed> Commit(uint64_t sequence_id, int32_t token_id);

  // Ends a sequence: its slot and blocks are free for the next plan, rows in
  // flight will be dropped. False if it has ended already.
  bool Remove(uint64_t sequence_id);

  // Ids of sequences that were never planned and whose deadline is before
  // `now`.
  std::vector<uint64_t> Expired(absl::Time now) const;

  // Of a sequence that has not ended, or nullptr. Valid until the next call of
  // a method that is not const.
  const Sequence* Find(uint64_t sequence_id) const;

  int num_running() const { return static_cast<int>(running_.size()); }
  int num_waiting() const { return static_cast<int>(waiting_.size()); }
  int num_sequences() const { return static_cast<int>(sequences_.size()); }
  uint64_t num_preemptions() const { return num_preemptions_; }
  // Prompt and output of one sequence: max_model_len, or less if the pool holds
  // less.
  int max_sequence_tokens() const { return max_sequence_tokens_; }

 private:
  // Importance: higher priority first, then age.
  using Key = std::pair<int, uint64_t>;
  using Queue = std::map<Key, Sequence*>;
  static Key KeyOf(const Sequence& sequence);

  // Which micro-batch a plan is for, if any has work.
  std::optional<int> PickMicroBatch() const;
  bool HasDecodeWork(int micro_batch) const;
  bool HasPrefillWork() const;
  // The sequence to admit next; nullptr if none waits or the first in line
  // lacks a slot, blocks, or commits that are still to come.
  Sequence* NextToAdmit() const;
  bool HasBlocksFor(const Sequence& sequence) const;
  bool WaitsForSlot() const;

  void PlanDecodes(StepPlan* plan);
  std::vector<Sequence*> DecodeCandidates(const StepPlan& plan) const;
  void PlanPrefills(StepPlan* plan);
  void AddContinue(Sequence* sequence, StepPlan* plan);
  void AddPrefill(Sequence* sequence, StepPlan* plan);
  int ChunkSize(const Sequence& sequence, int budget) const;
  void AddScores(Sequence* sequence, PlannedChunk* chunk) const;
  PlannedChunk StartChunk(Sequence* sequence, const StepPlan& plan) const;
  void Draw(Sequence* sequence, PlannedChunk* chunk, const StepPlan& plan);
  void GrowTable(Sequence* sequence, int num_tokens, PlannedChunk* chunk);

  void Admit(Sequence* sequence);
  bool MakeRoom(Sequence* sequence);
  void Preempt(Sequence* sequence);
  void Release(Sequence* sequence);
  void FinishPlan(StepPlan* plan);

  bool EndsAhead(const Sequence& sequence) const;
  std::optional<FinishReason> ReasonToEnd(const Sequence& sequence) const;
  int LightestMicroBatch(int preferred) const;

  const Options options_;
  BlockManager* const blocks_;
  const int max_sequence_tokens_;

  std::unordered_map<uint64_t, std::unique_ptr<Sequence>> sequences_;
  Queue running_;  // with a slot
  Queue waiting_;  // without one, and with tokens to come
  // Sequences in neither have all their rows planned and wait for commits.

  std::deque<int> free_slots_;          // oldest release first
  std::vector<int> released_slots_;     // for the next plan to announce
  std::vector<Sequence*> ending_;       // had their last chunk in this plan
  std::vector<uint32_t> generations_;   // of each slot
  std::vector<int> micro_batch_sizes_;  // decoding sequences in each
  uint64_t next_sequence_id_ = 1;
  uint64_t next_step_id_ = 1;
  int next_micro_batch_ = 0;
  uint64_t num_preemptions_ = 0;
};

}  // namespace quatrain
