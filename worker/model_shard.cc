#include "worker/model_shard.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/status_macros.h"

namespace quatrain {
namespace {

// Dense rows read between two looks at whether to go on: few enough that a slow
// disk delivers them within a fraction of a second.
constexpr int kRowsPerLook = 256;

// Hands a slice of the checkpoint to the backend, which knows no models.
class SliceReader final : public WeightReader {
 public:
  SliceReader(const LinearSlice* slice, const LoadWatch* watch)
      : slice_(slice), watch_(watch) {}

  absl::Status ReadInt4(int begin, int end, int first_block, int last_block,
                        uint8_t* q, uint8_t* z, float* s) const override {
    RETURN_IF_ERROR(Look());
    return slice_->ReadInt4({begin, end}, {first_block, last_block}, q, z, s);
  }
  absl::Status ReadDense(int begin, int end, void* out) const override {
    const size_t row_bytes =
        static_cast<size_t>(slice_->num_cols()) * SizeOf(slice_->dtype());
    for (int first = begin; first < end; first += kRowsPerLook) {
      RETURN_IF_ERROR(Look());
      RETURN_IF_ERROR(slice_->ReadDense(
          first, std::min(end, first + kRowsPerLook),
          static_cast<std::byte*>(out) +
              static_cast<size_t>(first - begin) * row_bytes));
    }
    return absl::OkStatus();
  }

 private:
  // Whether to go on.
  absl::Status Look() const {
    if (watch_->cancelled && watch_->cancelled())
      return absl::CancelledError("the loading of weights was interrupted");
    return absl::OkStatus();
  }

  const LinearSlice* slice_;
  const LoadWatch* watch_;
};

// The bias of a row-parallel linear is added after the sum, once.
bool BiasFollowsSum(LinearRole role) {
  return role == LinearRole::kO || role == LinearRole::kDown;
}

LogicalPart PartOf(const LinearSlice& slice, const WeightReader* reader) {
  LogicalPart part;
  part.rows = slice.num_rows();
  part.is_int4 = slice.is_int4();
  (part.is_int4 ? part.scale_dtype : part.dense_dtype) = slice.dtype();
  part.block_ends.assign(slice.block_ends().begin(), slice.block_ends().end());
  part.reader = reader;
  return part;
}

class ShardLoader {
 public:
  ShardLoader(Backend& backend, const LoadWatch& watch)
      : backend_(backend), watch_(watch) {}

  absl::StatusOr<std::unique_ptr<Linear>> Pack(const LinearSources& sources) {
    std::vector<SliceReader> readers;
    readers.reserve(sources.parts.size());
    LogicalLinear logical;
    logical.cols = sources.cols();
    for (const LinearSlice& slice : sources.parts) {
      readers.emplace_back(&slice, &watch_);
      logical.parts.push_back(PartOf(slice, &readers.back()));
    }
    if (!BiasFollowsSum(sources.role)) logical.bias = sources.StackedBias();
    ASSIGN_OR_RETURN(std::unique_ptr<Linear> packed,
                     backend_.PackLinear(logical, sources.role));
    for (const LinearSlice& slice : sources.parts) slice.DropPages();
    done_bytes_ += sources.stored_bytes();
    if (watch_.progress) watch_.progress(done_bytes_);
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
  const LoadWatch& watch_;
  int64_t done_bytes_ = 0;
};

}  // namespace

absl::StatusOr<ModelShard> LoadShard(const ShardSources& sources,
                                     Backend& backend, const LoadWatch& watch) {
  ShardLoader loader(backend, watch);
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
