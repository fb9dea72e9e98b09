#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/linear.h"
#include "worker/shard_sources.h"

namespace quatrain {

struct LayerWeights {
  Norm input_norm, post_attention_norm;
  std::unique_ptr<Linear> qkv, o, gate_up, down;
  Tail o_tail, down_tail;
};

// One rank's weights, packed by its backend, which must outlive it.
struct ModelShard {
  RankShard shard;
  std::unique_ptr<Linear> embedding;  // on the first stage; also the head, if
                                      // weights are tied and there is one stage
  std::vector<LayerWeights> layers;   // of shard.layers
  Norm final_norm;                    // on the last stage
  std::unique_ptr<Linear>
      separate_head;  // on the last stage, unless tied there

  const Linear* head() const {
    return separate_head ? separate_head.get() : embedding.get();
  }
};

// Who looks on while weights are read. Either may be empty.
struct LoadWatch {
  // Hears the bytes of the checkpoint done so far.
  std::function<void(int64_t done_bytes)> progress;
  // Asked before every few rows, by several threads at once: the load ends,
  // with Cancelled, once it says yes.
  std::function<bool()> cancelled;
};

// Packs every linear of `sources` in order, dropping the mapped pages of each
// once it is packed, so that two copies of the model never exist. Fails with
// the reader's or the backend's status.
absl::StatusOr<ModelShard> LoadShard(const ShardSources& sources,
                                     Backend& backend, const LoadWatch& watch);

}  // namespace quatrain
