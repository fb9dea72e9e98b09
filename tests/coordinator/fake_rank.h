#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "quatrain/internal/v1/step.pb.h"

namespace quatrain {

// A rank without a model: the token after id t is NextToken(t), so every
// stream is known in advance. Keeps slots and digests as a real rank does.
class FakeRank {
 public:
  static int32_t NextToken(int32_t id) { return (id + 1) % 1000; }

  FakeRank(int rank, bool first_stage, bool samples)
      : rank_(rank), first_stage_(first_stage), samples_(samples) {}

  internal::v1::StepResult Execute(const std::string& plan_bytes) {
    internal::v1::StepPlan plan;
    internal::v1::StepResult result;
    if (!plan.ParseFromString(plan_bytes)) return result;
    result.set_epoch(plan.epoch());
    result.set_step_id(plan.step_id());
    result.set_rank(rank_);
    std::vector<int32_t> ids;
    for (int c = 0; c < plan.chunks_size(); ++c)
      Run(plan.chunks(c), c, &ids, &result);
    digest_ = ChainDigest(digest_, std::as_bytes(std::span(plan_bytes)));
    if (first_stage_)
      digest_ = ChainDigest(digest_, std::as_bytes(std::span(ids)));
    result.set_digest(digest_ ^ corruption_);
    if (!samples_) result.clear_rows();
    return result;
  }

  // Rows of tokens drawn at this position are not finite.
  void set_not_finite_at(int position) { not_finite_at_ = position; }
  void CorruptDigests() { corruption_ = 1; }

 private:
  struct Slot {
    int32_t last = 0;
    int length = 0;
  };

  void Run(const internal::v1::Chunk& chunk, int index,
           std::vector<int32_t>* ids, internal::v1::StepResult* result) {
    Slot& slot = slots_[chunk.slot()];
    const auto& prefill = chunk.prefill().token_ids();
    if (chunk.has_prefill()) {
      slot.length = chunk.prefill().start() + prefill.size();
      slot.last = prefill[prefill.size() - 1];
      ids->insert(ids->end(), prefill.begin(), prefill.end());
    } else {
      ++slot.length;
      ids->push_back(slot.last);
    }
    using internal::v1::LogitsWanted;
    const LogitsWanted& wanted = chunk.logits_wanted();
    if (wanted.rows() == LogitsWanted::ROWS_ALL) {
      for (int i = 1; i < prefill.size(); ++i)
        AddScore(index, prefill[i], chunk.prefill().start() + i, result);
      if (wanted.has_next_prompt_token())
        AddScore(index, wanted.next_prompt_token(), slot.length, result);
    }
    if (wanted.rows() == LogitsWanted::ROWS_LAST || wanted.draw())
      AddDraw(index, &slot, result);
  }

  static void AddScore(int index, uint32_t id, int position,
                       internal::v1::StepResult* result) {
    internal::v1::Row* row = result->add_rows();
    row->set_chunk_index(index);
    row->set_scored(true);
    row->add_token_ids(id);
    row->set_position(position);
    row->mutable_logprob()->set_token_id(id);
    row->mutable_logprob()->set_logprob(-1.0f);
  }

  void AddDraw(int index, Slot* slot, internal::v1::StepResult* result) {
    slot->last = NextToken(slot->last);
    internal::v1::Row* row = result->add_rows();
    row->set_chunk_index(index);
    row->add_token_ids(slot->last);
    row->set_position(slot->length);
    row->set_not_finite(slot->length == not_finite_at_);
  }

  const int rank_;
  const bool first_stage_;
  const bool samples_;
  uint64_t digest_ = 0;
  uint64_t corruption_ = 0;
  int not_finite_at_ = -1;
  std::map<uint32_t, Slot> slots_;
};

}  // namespace quatrain
