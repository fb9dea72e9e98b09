#include "worker/activation_buffers.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace quatrain {
namespace {

constexpr int64_t kAlignment = 256;  // of each matrix, in bytes

int64_t MatrixBytes(int rows, int cols, DType dtype) {
  const int64_t bytes = int64_t{rows} * cols * SizeOf(dtype);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Takes matrices out of one buffer, one after the other.
class Carver {
 public:
  explicit Carver(std::byte* next) : next_(next) {}

  MatrixView Take(int rows, int cols, DType dtype) {
    MatrixView view{next_, dtype, rows, cols, cols};
    next_ += MatrixBytes(rows, cols, dtype);
    return view;
  }

 private:
  std::byte* next_;
};

}  // namespace

ActivationShape ActivationShape::Of(const ModelConfig& config,
                                    const RankShard& shard, int max_tokens) {
  return {.max_tokens = max_tokens,
          .hidden_size = config.hidden_size,
          .qkv = (shard.q_heads.size() + 2 * shard.kv_heads.size()) *
                 config.head_dim,
          .attention = shard.q_heads.size() * config.head_dim,
          .intermediate = shard.intermediate.size(),
          .logits = shard.lm_head.size()};
}

int ActivationShape::max_width() const {
  return std::max({hidden_size + 1, qkv, attention, 2 * intermediate, logits});
}

LinearWidths ActivationShape::widths() const {
  return {.input = std::max({hidden_size, attention, intermediate}),
          .gate_up = 2 * intermediate};
}

int64_t ActivationShape::bytes() const {
  return MatrixBytes(max_tokens, hidden_size, DType::kF32) +
         MatrixBytes(max_tokens, qkv, DType::kF32) +
         MatrixBytes(max_tokens, attention, DType::kF32) +
         MatrixBytes(max_tokens, hidden_size + 1, DType::kI64) +
         MatrixBytes(max_tokens, intermediate, DType::kF32) +
         MatrixBytes(kLogitsTileRows, logits, DType::kF32);
}

ActivationBuffers::Views ActivationBuffers::top(int tokens) const {
  return {residual.top(tokens), qkv.top(tokens), attention.top(tokens),
          partial.top(tokens), mlp.top(tokens)};
}

absl::StatusOr<ActivationBuffers> AllocateActivationBuffers(
    const ActivationShape& shape, DeviceMemory& memory) {
  ActivationBuffers a;
  ASSIGN_OR_RETURN(a.buffer, memory.Allocate(shape.bytes(), "runtime"));
  Carver carver(a.buffer.data());
  const int tokens = shape.max_tokens;
  a.residual = carver.Take(tokens, shape.hidden_size, DType::kF32);
  a.qkv = carver.Take(tokens, shape.qkv, DType::kF32);
  a.attention = carver.Take(tokens, shape.attention, DType::kF32);
  a.partial = carver.Take(tokens, shape.hidden_size + 1, DType::kI64);
  a.mlp = carver.Take(tokens, shape.intermediate, DType::kF32);
  a.logits = carver.Take(kLogitsTileRows, shape.logits, DType::kF32);
  return a;
}

}  // namespace quatrain
