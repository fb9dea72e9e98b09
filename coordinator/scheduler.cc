#include "coordinator/scheduler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace quatrain {
namespace {

PlannedSampling SamplingOf(const GenerationRequest& request) {
  return {.temperature = request.temperature,
          .top_k = request.top_k,
          .top_p = request.top_p,
          .seed = request.seed,
          .logprobs = request.logprobs,
          .top_logprobs = request.top_logprobs};
}

bool Contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

Scheduler::Scheduler(Options options, BlockManager* blocks)
    : options_(options),
      blocks_(blocks),
      max_sequence_tokens_(static_cast<int>(std::min<int64_t>(
          options.max_model_len,
          static_cast<int64_t>(blocks->num_blocks()) * blocks->block_size()))),
      generations_(options.max_num_seqs, 0),
      micro_batch_sizes_(options.num_micro_batches, 0) {
  CHECK_GT(options.max_num_seqs, 0);
  CHECK_GT(options.max_num_batched_tokens, 0);
  CHECK_GT(options.num_micro_batches, 0);
  for (int slot = 0; slot < options.max_num_seqs; ++slot)
    free_slots_.push_back(slot);
}

Scheduler::Key Scheduler::KeyOf(const Sequence& sequence) {
  return {-sequence.request.priority, sequence.id};
}

absl::Status Scheduler::CheckFits(int prompt_size) const {
  if (prompt_size + 1 <= max_sequence_tokens_) return absl::OkStatus();
  if (max_sequence_tokens_ == options_.max_model_len) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt: ", prompt_size, " tokens, expected at most ",
                     max_sequence_tokens_ - 1, " (max_model_len - 1)"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "prompt: ", prompt_size, " tokens, expected at most ",
      max_sequence_tokens_ - 1, ": the KV cache holds ", blocks_->num_blocks(),
      " blocks of ", blocks_->block_size(), " tokens"));
}

uint64_t Scheduler::Add(GenerationRequest request) {
  auto sequence = std::make_unique<Sequence>();
  sequence->id = next_sequence_id_++;
  sequence->request = std::move(request);
  CHECK_GT(sequence->prompt_size(), 0);
  CHECK_GT(sequence->request.max_tokens, 0);
  CHECK(CheckFits(sequence->prompt_size()).ok());
  waiting_[KeyOf(*sequence)] = sequence.get();
  const uint64_t id = sequence->id;
  sequences_[id] = std::move(sequence);
  return id;
}

std::optional<StepPlan> Scheduler::Plan() {
  StepPlan plan;
  plan.step_id = next_step_id_;
  // A micro-batch can lose all its candidates to preemption; then another one
  // is tried. Each round preempts, so this ends.
  while (plan.chunks.empty()) {
    const std::optional<int> micro_batch = PickMicroBatch();
    if (!micro_batch) break;
    plan.micro_batch = *micro_batch;
    PlanDecodes(&plan);
    PlanPrefills(&plan);
  }
  if (plan.chunks.empty()) {
    if (!WaitsForSlot()) return std::nullopt;
    plan.micro_batch = next_micro_batch_;
  }
  FinishPlan(&plan);
  return plan;
}

void Scheduler::FinishPlan(StepPlan* plan) {
  ++next_step_id_;
  next_micro_batch_ = (plan->micro_batch + 1) % options_.num_micro_batches;
  free_slots_.insert(free_slots_.end(), released_slots_.begin(),
                     released_slots_.end());
  plan->released_slots = std::move(released_slots_);
  released_slots_.clear();
  // Only now, so that nothing of theirs was given away in this plan.
  for (Sequence* sequence : ending_) {
    running_.erase(KeyOf(*sequence));
    Release(sequence);
  }
  ending_.clear();
}

std::optional<int> Scheduler::PickMicroBatch() const {
  if (HasPrefillWork()) return next_micro_batch_;
  for (int i = 0; i < options_.num_micro_batches; ++i) {
    const int candidate = (next_micro_batch_ + i) % options_.num_micro_batches;
    if (HasDecodeWork(candidate)) return candidate;
  }
  return std::nullopt;
}

bool Scheduler::HasDecodeWork(int micro_batch) const {
  return micro_batch_sizes_[micro_batch] > 0;
}

bool Scheduler::HasPrefillWork() const {
  for (const auto& [key, sequence] : running_)
    if (sequence->is_prefilling()) return true;
  return NextToAdmit() != nullptr && !free_slots_.empty();
}

Sequence* Scheduler::NextToAdmit() const {
  if (waiting_.empty()) return nullptr;
  Sequence* first = waiting_.begin()->second;
  if (first->num_drawn_ahead > 0 || !HasBlocksFor(*first)) return nullptr;
  return first;
}

bool Scheduler::HasBlocksFor(const Sequence& sequence) const {
  const int tokens =
      std::min(sequence.num_known_tokens() + 1, max_sequence_tokens_);
  return blocks_->BlocksFor(tokens) <= blocks_->num_free_blocks();
}

bool Scheduler::WaitsForSlot() const {
  return !released_slots_.empty() && free_slots_.empty() &&
         NextToAdmit() != nullptr;
}

void Scheduler::PlanDecodes(StepPlan* plan) {
  for (Sequence* sequence : DecodeCandidates(*plan)) {
    const bool preempted = !sequence->slot.has_value();
    if (!preempted && MakeRoom(sequence)) AddContinue(sequence, plan);
  }
}

// Most important first, so that nobody is preempted who has a chunk in this
// plan.
std::vector<Sequence*> Scheduler::DecodeCandidates(const StepPlan& plan) const {
  std::vector<Sequence*> candidates;
  for (const auto& [key, sequence] : running_)
    if (sequence->micro_batch == plan.micro_batch)
      candidates.push_back(sequence);

  // Where not all fit, those go first that waited longest, and every other plan
  // keeps a quarter for prompts.
  const int budget = options_.max_num_batched_tokens;
  const bool keep_some = plan.step_id % 2 == 0 && HasPrefillWork();
  const size_t limit = keep_some ? budget - (budget + 3) / 4 : budget;
  if (candidates.size() <= limit) return candidates;
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Sequence* a, const Sequence* b) {
                     return a->last_planned_step < b->last_planned_step;
                   });
  candidates.resize(limit);
  std::sort(candidates.begin(), candidates.end(),
            [](const Sequence* a, const Sequence* b) {
              return KeyOf(*a) < KeyOf(*b);
            });
  return candidates;
}

void Scheduler::PlanPrefills(StepPlan* plan) {
  int budget = options_.max_num_batched_tokens - plan->num_tokens();
  const auto add = [&](Sequence* sequence) {
    AddPrefill(sequence, plan);
    budget -= plan->chunks.back().num_tokens();
  };
  for (const auto& [key, sequence] : running_) {
    if (budget == 0) return;
    if (sequence->is_prefilling()) add(sequence);
  }
  while (budget > 0 && !free_slots_.empty()) {
    Sequence* sequence = NextToAdmit();
    if (sequence == nullptr) return;
    Admit(sequence);
    add(sequence);
  }
}

void Scheduler::AddContinue(Sequence* sequence, StepPlan* plan) {
  PlannedChunk chunk = StartChunk(sequence, *plan);
  chunk.sampled_by = sequence->last_draw_step;
  GrowTable(sequence, ++sequence->num_computed_tokens, &chunk);
  Draw(sequence, &chunk, *plan);
  plan->chunks.push_back(std::move(chunk));
}

void Scheduler::AddPrefill(Sequence* sequence, StepPlan* plan) {
  const int budget = options_.max_num_batched_tokens - plan->num_tokens();
  const int size = ChunkSize(*sequence, budget);
  PlannedChunk chunk = StartChunk(sequence, *plan);
  chunk.start = sequence->num_computed_tokens;
  chunk.token_ids.reserve(size);
  for (int i = 0; i < size; ++i)
    chunk.token_ids.push_back(sequence->TokenAt(chunk.start + i));
  if (chunk.start == 0) {
    chunk.sampling = SamplingOf(sequence->request);
    GrowTable(sequence, sequence->num_prefill_tokens, &chunk);
  }
  if (sequence->request.prompt_logprobs) AddScores(sequence, &chunk);
  sequence->num_computed_tokens += size;
  if (!sequence->is_prefilling()) Draw(sequence, &chunk, *plan);
  plan->chunks.push_back(std::move(chunk));
}

int Scheduler::ChunkSize(const Sequence& sequence, int budget) const {
  const int computed = sequence.num_computed_tokens;
  int size = std::min(budget, sequence.num_prefill_tokens - computed);
  if (options_.max_chunk_tokens > 0)
    size = std::min(size, options_.max_chunk_tokens);
  // A replay scores nothing twice: a chunk ends where its scores would begin.
  if (computed < sequence.num_prompt_scored)
    size = std::min(size, sequence.num_prompt_scored - computed);
  return size;
}

void Scheduler::AddScores(Sequence* sequence, PlannedChunk* chunk) const {
  const int end = chunk->start + chunk->num_tokens();
  const int scored_end = std::min(end, sequence->prompt_size() - 1);
  if (scored_end <= std::max(chunk->start, sequence->num_prompt_scored)) return;
  CHECK_EQ(chunk->start, sequence->num_prompt_scored);
  chunk->num_scored = scored_end - chunk->start;
  chunk->prompt_top_logprobs = *sequence->request.prompt_logprobs;
  if (end == scored_end) chunk->next_prompt_token = sequence->TokenAt(end);
  sequence->num_prompt_scored = scored_end;
}

PlannedChunk Scheduler::StartChunk(Sequence* sequence,
                                   const StepPlan& plan) const {
  sequence->last_planned_step = plan.step_id;
  PlannedChunk chunk;
  chunk.sequence_id = sequence->id;
  chunk.slot = *sequence->slot;
  chunk.generation = sequence->generation;
  return chunk;
}

void Scheduler::Draw(Sequence* sequence, PlannedChunk* chunk,
                     const StepPlan& plan) {
  chunk->draw = true;
  ++sequence->num_drawn_ahead;
  sequence->last_draw_step = plan.step_id;
  if (EndsAhead(*sequence)) {
    ending_.push_back(sequence);
  } else if (sequence->micro_batch < 0) {
    sequence->micro_batch = LightestMicroBatch(plan.micro_batch);
    ++micro_batch_sizes_[sequence->micro_batch];
  }
}

void Scheduler::GrowTable(Sequence* sequence, int num_tokens,
                          PlannedChunk* chunk) {
  const size_t num_blocks = blocks_->BlocksFor(num_tokens);
  while (sequence->blocks.size() < num_blocks) {
    sequence->blocks.push_back(blocks_->Take());
    chunk->new_blocks.push_back(sequence->blocks.back().id());
  }
}

void Scheduler::Admit(Sequence* sequence) {
  waiting_.erase(KeyOf(*sequence));
  running_[KeyOf(*sequence)] = sequence;
  sequence->slot = free_slots_.front();
  free_slots_.pop_front();
  sequence->generation = ++generations_[*sequence->slot];
  sequence->num_prefill_tokens = sequence->num_known_tokens();
  sequence->num_computed_tokens = 0;
}

// False if that took the sequence's own place.
bool Scheduler::MakeRoom(Sequence* sequence) {
  const size_t needed = blocks_->BlocksFor(sequence->num_computed_tokens + 1);
  if (needed <= sequence->blocks.size()) return true;
  while (blocks_->num_free_blocks() == 0) {
    Sequence* least_important = running_.rbegin()->second;
    Preempt(least_important);
    if (least_important == sequence) return false;
  }
  return true;
}

void Scheduler::Preempt(Sequence* sequence) {
  running_.erase(KeyOf(*sequence));
  waiting_[KeyOf(*sequence)] = sequence;
  Release(sequence);
  ++num_preemptions_;
}

void Scheduler::Release(Sequence* sequence) {
  released_slots_.push_back(*sequence->slot);
  sequence->slot.reset();
  sequence->blocks.clear();
  if (sequence->micro_batch >= 0) --micro_batch_sizes_[sequence->micro_batch];
  sequence->micro_batch = -1;
}

bool Scheduler::EndsAhead(const Sequence& sequence) const {
  return sequence.num_tokens() - sequence.prompt_size() >=
             sequence.request.max_tokens ||
         sequence.num_tokens() >= max_sequence_tokens_;
}

int Scheduler::LightestMicroBatch(int preferred) const {
  int best = preferred;
  for (int i = 0; i < options_.num_micro_batches; ++i)
    if (micro_batch_sizes_[i] < micro_batch_sizes_[best]) best = i;
  return best;
}

std::optional<Scheduler::Committed> Scheduler::Commit(uint64_t sequence_id,
                                                      int32_t token_id) {
  const auto found = sequences_.find(sequence_id);
  if (found == sequences_.end()) return std::nullopt;
  Sequence& sequence = *found->second;
  CHECK_GT(sequence.num_drawn_ahead, 0) << "sequence " << sequence_id;
  --sequence.num_drawn_ahead;
  sequence.output_token_ids.push_back(token_id);
  const Committed committed = {
      .num_output_tokens = static_cast<int>(sequence.output_token_ids.size()),
      .reason = ReasonToEnd(sequence)};
  if (committed.reason) Remove(sequence_id);
  return committed;
}

std::optional<FinishReason> Scheduler::ReasonToEnd(
    const Sequence& sequence) const {
  const int32_t last = sequence.output_token_ids.back();
  const GenerationRequest& request = sequence.request;
  if (Contains(request.eos_token_ids, last)) return FinishReason::kEos;
  if (Contains(request.stop_token_ids, last)) return FinishReason::kStopToken;
  if (static_cast<int>(sequence.output_token_ids.size()) >= request.max_tokens)
    return FinishReason::kLength;
  if (sequence.num_known_tokens() >= max_sequence_tokens_)
    return FinishReason::kContextLength;
  return std::nullopt;
}

bool Scheduler::Remove(uint64_t sequence_id) {
  const auto found = sequences_.find(sequence_id);
  if (found == sequences_.end()) return false;
  Sequence& sequence = *found->second;
  running_.erase(KeyOf(sequence));
  waiting_.erase(KeyOf(sequence));
  if (sequence.slot) Release(&sequence);
  sequences_.erase(found);
  return true;
}

std::vector<uint64_t> Scheduler::Expired(absl::Time now) const {
  std::vector<uint64_t> expired;
  for (const auto& [key, sequence] : waiting_) {
    if (sequence->last_planned_step == 0 && sequence->request.deadline < now)
      expired.push_back(sequence->id);
  }
  return expired;
}

const Sequence* Scheduler::Find(uint64_t sequence_id) const {
  const auto found = sequences_.find(sequence_id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

}  // namespace quatrain
