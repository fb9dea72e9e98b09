#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/matrix_view.h"
#include "kernels/device_memory.h"
#include "kernels/record_size.h"
#include "model/model_config.h"
#include "model/shard_plan.h"

namespace quatrain {

// Rows of logits that exist at a time: the head runs in tiles, so that a long
// prompt scored token by token needs no more memory than a short one.
inline constexpr int kLogitsTileRows = 64;

// The widths of a step's intermediate values on one rank, in elements.
struct ActivationShape {
  int max_tokens = 0;
  int hidden_size = 0;
  int qkv = 0;           // (q heads + 2 * kv heads) * head_dim
  int attention = 0;     // q heads * head_dim
  int intermediate = 0;  // of the MLP, on this rank
  int logits = 0;        // of the vocabulary, on this rank; 0 but on the last
                         // stage

  static ActivationShape Of(const ModelConfig& config, const RankShard& shard,
                            int max_tokens);
  int max_width() const;  // widest input or output of a linear
  LinearWidths widths() const;
  int64_t bytes() const;  // as AllocateActivationBuffers does
};

// What lives during one step. All f32 [max_tokens, width] but `partial`, i64
// [max_tokens, hidden_size + 1], and `logits`, [kLogitsTileRows, width].
struct ActivationBuffers {
  MatrixView residual, qkv, attention, partial, mlp, logits;
  DeviceBuffer buffer;  // holds them all

  // The same with `tokens` rows each (logits keep theirs).
  struct Views {
    MatrixView residual, qkv, attention, partial, mlp;
  };
  Views top(int tokens) const;
};

absl::StatusOr<ActivationBuffers> AllocateActivationBuffers(
    const ActivationShape& shape, DeviceMemory& memory);

}  // namespace quatrain
