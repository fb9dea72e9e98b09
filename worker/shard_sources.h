#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/linear.h"
#include "model/linear_source.h"
#include "model/model.h"
#include "model/shard_plan.h"

namespace quatrain {

// Who packs: the CPU backend, by kernels/record_size.h, or the reference, which
// keeps a byte per int4 value.
enum class RecordKind : uint8_t { kCpu, kReference };

// Where one packed linear of a rank comes from: the slices that it stacks, in
// order. A rank that has no part of it holds slices of 0 rows or columns.
struct LinearSources {
  LinearRole role = LinearRole::kQkv;
  std::vector<LinearSlice> parts;

  int rows() const;
  int cols() const;
  int64_t stored_bytes() const;  // in the checkpoint
  int64_t packed_bytes(RecordKind kind) const;
  std::vector<float> StackedBias() const;  // [rows], empty without one
};

struct LayerSources {
  LinearSources qkv, o, gate_up, down;
  Norm input_norm, post_attention_norm;
};

// One rank's weights, still where they lie in the checkpoint: only headers and
// vectors were read. The planner sizes from it and the loader packs from it, so
// the two agree. Refers to the model's checkpoint, which must outlive it.
struct ShardSources {
  RankShard shard;
  std::vector<LayerSources> layers;      // of shard.layers
  std::vector<LinearSources> embedding;  // one on the first stage, else none
  std::vector<LinearSources> head;       // none where tied on one stage
  Norm final_norm;                       // on the last stage

  int64_t stored_bytes() const;
  int64_t packed_bytes(RecordKind kind) const;  // linears and vectors
};

// Errors name the tensor and are model/linear_source.h's.
absl::StatusOr<ShardSources> OpenShard(const Model& model,
                                       const RankShard& shard);

}  // namespace quatrain
