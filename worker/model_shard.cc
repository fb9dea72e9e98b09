#include "worker/model_shard.h"

#include <utility>

#include "base/status_macros.h"

namespace quatrain {
namespace {

// Hands a slice of the checkpoint to the backend, which knows no models.
class SliceReader final : public WeightReader {
 public:
  explicit SliceReader(const LinearSlice* slice) : slice_(slice) {}

  absl::Status ReadInt4(int begin, int end, uint8_t* q, uint8_t* z,
                        float* s) const override {
    return slice_->ReadInt4(begin, end, q, z, s);
  }
  absl::Status ReadDense(int begin, int end, void* out) const override {
    return slice_->ReadDense(begin, end, out);
  }

 private:
  const LinearSlice* slice_;
};

// The bias of a row-parallel linear is added after the sum, once.
bool BiasFollowsSum(LinearRole role) {
  return role == LinearRole::kO || role == LinearRole::kDown;
}

LogicalPart PartOf(const LinearSlice& slice, const WeightReader* reader) {
  LogicalPart part;
  part.rows = slice.num_rows();
  part.is_int4 = slice.is_int4();
  if (!part.is_int4) part.dense_dtype = slice.dtype();
  part.block_ends.assign(slice.block_ends().begin(), slice.block_ends().end());
  part.reader = reader;
  return part;
}

class ShardLoader {
 public:
  ShardLoader(Backend& backend, const std::function<void(int64_t)>& progress)
      : backend_(backend), progress_(progress) {}

  absl::StatusOr<std::unique_ptr<Linear>> Pack(const LinearSources& sources) {
    std::vector<SliceReader> readers;
    readers.reserve(sources.parts.size());
    LogicalLinear logical;
    logical.cols = sources.cols();
    for (const LinearSlice& slice : sources.parts) {
      readers.emplace_back(&slice);
      logical.parts.push_back(PartOf(slice, &readers.back()));
    }
    if (!BiasFollowsSum(sources.role)) logical.bias = sources.StackedBias();
    ASSIGN_OR_RETURN(std::unique_ptr<Linear> packed,
                     backend_.PackLinear(logical, sources.role));
    for (const LinearSlice& slice : sources.parts) slice.DropPages();
    done_bytes_ += sources.stored_bytes();
    progress_(done_bytes_);
    return packed;
  }

  absl::StatusOr<LayerWeights> PackLayer(const LayerSources& sources) {
    LayerWeights layer;
    layer.input_norm = sources.input_norm;
    layer.post_attention_norm = sources.post_attention_norm;
    ASSIGN_OR_RETURN(layer.qkv, Pack(sources.qkv));
    ASSIGN_OR_RETURN(layer.o, Pack(sources.o));
    ASSIGN_OR_RETURN(layer.gate_up, Pack(sources.gate_up));
    ASSIGN_OR_RETURN(layer.down, Pack(sources.down));
    layer.o_tail.bias = sources.o.StackedBias();
    layer.down_tail.bias = sources.down.StackedBias();
    return layer;
  }

 private:
  Backend& backend_;
  const std::function<void(int64_t)>& progress_;
  int64_t done_bytes_ = 0;
};

}  // namespace

absl::StatusOr<ModelShard> LoadShard(
    const ShardSources& sources, Backend& backend,
    const std::function<void(int64_t done_bytes)>& progress) {
  ShardLoader loader(backend, progress);
  ModelShard shard;
  shard.shard = sources.shard;
  shard.final_norm = sources.final_norm;
  for (const LinearSources& table : sources.embedding) {
    ASSIGN_OR_RETURN(shard.embedding, loader.Pack(table));
  }
  for (const LayerSources& layer : sources.layers) {
    ASSIGN_OR_RETURN(LayerWeights weights, loader.PackLayer(layer));
    shard.layers.push_back(std::move(weights));
  }
  for (const LinearSources& head : sources.head) {
    ASSIGN_OR_RETURN(shard.separate_head, loader.Pack(head));
  }
  return shard;
}

}  // namespace quatrain
