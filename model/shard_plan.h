#pragma once

#include <string>
#include <vector>

#include "model/layout.h"
#include "model/model_config.h"
#include "model/range.h"

namespace quatrain {

inline constexpr int kVocabTile = 256;

// A KV head of this rank and those of the rank's query heads that read it. All
// indices count from the rank's own first head.
struct AttentionGroup {
  int kv_head = 0;
  int first_query_head = 0;
  int count = 0;
  bool operator==(const AttentionGroup&) const = default;
};

// What one rank holds. Ranges are of the whole model's indices; an empty one
// means that the rank contributes zeros there, and joins every collective.
struct RankShard {
  int rank = 0;  // of all
  int stage = 0;
  int tp_rank = 0;
  int tp_size = 1;
  bool first_stage = false;
  bool last_stage = false;

  Range layers;
  Range q_heads;
  Range kv_heads;  // every KV head that q_heads touch; ranks may share one
  std::vector<AttentionGroup> attention;
  Range intermediate;  // columns of gate and up, inputs of down
  Range embedding;     // vocabulary rows; empty but on the first stage
  Range lm_head;       // vocabulary rows; empty but on the last stage
  // The head reads the embedding's rows and is not held again (tied weights,
  // one stage).
  bool lm_head_is_embedding = false;
};

// The rectangle of one logical tensor that a rank holds: a linear's outputs and
// inputs, a table's rows and columns, a vector's elements (columns is {0, 1}).
struct TensorSlice {
  std::string name;  // of the module: "model.layers.0.mlp.down_proj"
  enum Kind { kLinear, kVector, kTable, kBias } kind = kLinear;
  Range rows;           // of N
  Range columns;        // of K
  int num_rows = 0;     // N of the whole tensor
  int num_columns = 0;  // K of the whole tensor
  int head_dim = 0;     // of o: its k blocks end at heads; 0 elsewhere
};

// The shards of all ranks, in rank order. Pure: no file, no device. Attention
// is cut by whole query heads, the MLP at whole blocks of the exact sums, the
// vocabulary in tiles of 256, each apportioned by itself. `layout` must be one
// that CheckLayout accepts for config.num_layers.
std::vector<RankShard> PlanShards(const ModelConfig& config,
                                  const Layout& layout);

// Every tensor that the rank reads, with its slice; none where the slice would
// be empty. Norms and the biases of row-parallel linears (added once, after the
// sum) are held whole by every rank of a stage.
std::vector<TensorSlice> SlicesOf(const ModelConfig& config,
                                  const RankShard& shard);

// Places where the MLP may be cut: 0, ..., intermediate_size.
std::vector<int> MlpCuts(const ModelConfig& config);

}  // namespace quatrain
