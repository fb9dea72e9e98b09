#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "kernels/backend.h"
#include "model/model_config.h"
#include "model/shard_plan.h"

namespace quatrain {

// What one layer of this rank stores per token. Planner, pool and protocol read
// nothing else about a layer's cache.
struct KvSpec {
  int num_kv_heads = 0;  // on this rank
  int head_dim = 0;
  DType dtype = DType::kF16;
  int window = 0;    // 0 = every key stays visible
  int kv_group = 0;  // which of a sequence's block tables the layer uses
};

// One entry per layer of the shard.
std::vector<KvSpec> KvSpecsOf(const ModelConfig& config, const RankShard& shard,
                              DType dtype);

// All layers together, in multiples of pages, as KvCache allocates them.
int64_t KvCacheBytes(std::span<const KvSpec> specs, int64_t num_blocks,
                     int block_size);

// The paged K and V of all layers of one rank.
class KvCache {
 public:
  // `memory` must outlive the cache. ResourceExhausted past its limit.
  static absl::StatusOr<KvCache> Create(std::span<const KvSpec> specs,
                                        int num_blocks, int block_size,
                                        DeviceMemory& memory);

  // layer: in [0, layers of this rank).
  const KvLayer& layer(int layer) const { return layers_[layer]; }
  int num_blocks() const { return num_blocks_; }

 private:
  int num_blocks_ = 0;
  std::vector<DeviceBuffer> buffers_;
  std::vector<KvLayer> layers_;
};

}  // namespace quatrain
