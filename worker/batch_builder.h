#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/step.h"
#include "quatrain/internal/v1/step.pb.h"

namespace quatrain {

// A plan as it came, and its bytes, which the digest chains.
struct ReceivedPlan {
  internal::v1::StepPlan plan;
  std::string bytes;
};

// InvalidArgument if `bytes` are no StepPlan.
absl::StatusOr<ReceivedPlan> ParsePlan(std::string bytes);

// What plans may refer to.
struct PlanLimits {
  uint64_t epoch = 0;
  int num_slots = 0;
  int num_blocks = 0;
  int block_size = 16;
  int max_tokens = 0;   // of one plan
  int max_context = 0;  // of one sequence, in tokens
  int vocab_size = 0;
  int num_micro_batches = 1;
};

// A plan as the engine runs it. `step.sampled` is still empty: the ids may not
// be known yet.
struct PlannedStep {
  // A slot whose chunk continues with the id that plan `sampled_by` drew.
  struct Continued {
    int slot = 0;
    uint64_t sampled_by = 0;
  };

  Step step;
  std::vector<Continued> continued;
  std::vector<int> drawn_slots;  // of the rows that draw, in row order
  int num_tokens = 0;
};

// Turns plans into steps and results into messages: the only file of the worker
// in which protobuf types meet ours. Everything that a plan says is checked
// against what the plans before it said, so that what passes cannot break an
// invariant further down. One per rank and epoch; not thread-safe.
class BatchBuilder {
 public:
  explicit BatchBuilder(const PlanLimits& limits);

  // FailedPrecondition for another epoch, Unimplemented for the protocol's
  // reserved places, InvalidArgument, naming what was found and what was
  // expected, for anything else that no coordinator may send. After an error
  // the builder is of no use: the epoch is over.
  absl::StatusOr<PlannedStep> Build(const internal::v1::StepPlan& plan);

 private:
  // What the plans so far made of a slot.
  struct Slot {
    int64_t generation = -1;  // of the last tenant
    bool in_use = false;
    bool has_sampling = false;
    int num_blocks = 0;
    int length = 0;          // tokens after the plans so far
    uint64_t last_draw = 0;  // the plan that drew last, 0 = none
    uint64_t last_plan = 0;  // the plan of the slot's last chunk
  };

  absl::Status CheckHeader(const internal::v1::StepPlan& plan) const;
  absl::Status Release(const internal::v1::StepPlan& plan, PlannedStep* out);
  absl::Status AddChunk(const internal::v1::Chunk& chunk, PlannedStep* out);
  absl::StatusOr<Slot*> TenantOf(const internal::v1::Chunk& chunk,
                                 ChunkDelta* delta);
  absl::Status AddBlocks(const internal::v1::Chunk& chunk, Slot* slot,
                         ChunkDelta* delta) const;
  absl::Status AddSampling(const internal::v1::Chunk& chunk, Slot* slot,
                           ChunkDelta* delta) const;
  absl::Status AddPrefill(const internal::v1::Chunk& chunk, Slot* slot,
                          ChunkDelta* delta) const;
  absl::Status AddContinue(const internal::v1::Chunk& chunk, Slot* slot,
                           PlannedStep* out) const;
  absl::Status AddLogits(const internal::v1::Chunk& chunk, Slot* slot,
                         ChunkDelta* delta, PlannedStep* out) const;

  const PlanLimits limits_;
  uint64_t step_id_ = 0;  // of the plan built last or being built
  std::vector<Slot> slots_;
};

// Adds one row per logits row of a step to `result`.
void EncodeRows(std::span<const LogitsRow> rows,
                std::span<const SampledRow> sampled,
                internal::v1::StepResult* result);

void EncodeFault(const absl::Status& status, int peer_rank,
                 internal::v1::StepResult* result);

}  // namespace quatrain
