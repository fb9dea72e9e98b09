#include "worker/kv_cache.h"

#include <utility>

#include "base/status_macros.h"
#include "kernels/record_size.h"

namespace quatrain {
namespace {

int64_t LayerBytes(const KvSpec& spec, int64_t num_blocks, int block_size) {
  return KvLayerBytes(static_cast<int>(num_blocks), block_size,
                      spec.num_kv_heads, spec.head_dim, spec.dtype);
}

}  // namespace

std::vector<KvSpec> KvSpecsOf(const ModelConfig& config, const RankShard& shard,
                              DType dtype) {
  std::vector<KvSpec> specs;
  for (int layer = shard.layers.begin; layer < shard.layers.end; ++layer)
    specs.push_back({.num_kv_heads = shard.kv_heads.size(),
                     .head_dim = config.head_dim,
                     .dtype = dtype,
                     .window = config.sliding_window[layer]});
  return specs;
}

int64_t KvCacheBytes(std::span<const KvSpec> specs, int64_t num_blocks,
                     int block_size) {
  int64_t bytes = 0;
  for (const KvSpec& spec : specs)
    bytes += LayerBytes(spec, num_blocks, block_size);
  return bytes;
}

absl::StatusOr<KvCache> KvCache::Create(std::span<const KvSpec> specs,
                                        int num_blocks, int block_size,
                                        DeviceMemory& memory) {
  KvCache cache;
  cache.num_blocks_ = num_blocks;
  for (const KvSpec& spec : specs) {
    ASSIGN_OR_RETURN(
        DeviceBuffer buffer,
        memory.Allocate(LayerBytes(spec, num_blocks, block_size), "kv"));
    cache.layers_.push_back({.data = buffer.data(),
                             .dtype = spec.dtype,
                             .num_blocks = num_blocks,
                             .block_size = block_size,
                             .num_kv_heads = spec.num_kv_heads,
                             .head_dim = spec.head_dim});
    cache.buffers_.push_back(std::move(buffer));
  }
  return cache;
}

}  // namespace quatrain
