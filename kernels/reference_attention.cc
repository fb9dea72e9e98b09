#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/math.h"
#include "kernels/reference_math.h"

namespace quatrain {
namespace {

constexpr int kTile = 32;
constexpr int kSegment = 512;

// Rotates the first dims of one head at `position`.
void Rotate(const Rope& rope, int position, float* head) {
  const size_t half = rope.inv_freq.size();
  for (size_t i = 0; i < half; ++i) {
    const SinCosResult angle =
        SinCos(static_cast<float>(position) * rope.inv_freq[i]);
    const float cos = angle.cos * rope.scaling;
    const float sin = angle.sin * rope.scaling;
    const float x = head[i];
    const float y = head[i + half];
    head[i] = std::fma(x, cos, -(y * sin));
    head[i + half] = std::fma(y, cos, x * sin);
  }
}

// Where the cache keeps element d of a token's K (is_value 0) or V (1):
// [num_blocks][2][num_kv_heads][block_size][head_dim].
size_t CacheIndex(const KvLayer& kv, int64_t slot, int is_value, int kv_head,
                  int d) {
  const size_t block = slot / kv.block_size;
  const size_t offset = slot % kv.block_size;
  const size_t plane = (block * 2 + is_value) * kv.num_kv_heads + kv_head;
  return (plane * kv.block_size + offset) * kv.head_dim + d;
}

// Stores the rotated K and the V of token t.
void StoreToken(const float* qkv, const AttentionSpec& spec, int position,
                int64_t slot, const KvLayer& kv) {
  const int dim = spec.head_dim;
  const float* k = qkv + spec.num_q_heads * dim;
  const float* v = k + spec.num_kv_heads * dim;
  for (int h = 0; h < spec.num_kv_heads; ++h) {
    std::vector<float> key(k + h * dim, k + (h + 1) * dim);
    Rotate(spec.rope, position, key.data());
    for (int d = 0; d < dim; ++d) {
      StoreAs(kv.dtype, key[d], kv.data, CacheIndex(kv, slot, 0, h, d));
      StoreAs(kv.dtype, v[h * dim + d], kv.data, CacheIndex(kv, slot, 1, h, d));
    }
  }
}

// The stored K and V of one sequence and KV head, [context, head_dim].
struct Context {
  std::vector<float> keys, values;
};

Context LoadContext(const StepView& step, int s, const KvLayer& kv,
                    int kv_head) {
  Context context;
  const int32_t* table =
      step.block_tables + static_cast<size_t>(s) * step.block_stride;
  for (int j = 0; j < step.context_lens[s]; ++j) {
    const int64_t slot =
        int64_t{table[j / kv.block_size]} * kv.block_size + j % kv.block_size;
    for (int d = 0; d < kv.head_dim; ++d) {
      context.keys.push_back(
          LoadAs(kv.dtype, kv.data, CacheIndex(kv, slot, 0, kv_head, d)));
      context.values.push_back(
          LoadAs(kv.dtype, kv.data, CacheIndex(kv, slot, 1, kv_head, d)));
    }
  }
  return context;
}

// A softmax over some keys, not yet divided by its sum.
struct Softmax {
  float max = 0.0f;
  float sum = 0.0f;
  std::vector<float> out;  // [head_dim]; empty: no keys yet
};

// The visible keys [begin, end) of one tile.
Softmax AttendTile(const float* q, float scale, int dim, const Context& context,
                   int begin, int end) {
  float p[kTile] = {};
  Softmax tile{.max = -std::numeric_limits<float>::infinity(),
               .out = std::vector<float>(dim)};
  for (int j = begin; j < end; ++j) {
    float score = 0.0f;
    for (int d = 0; d < dim; ++d)
      score = std::fma(q[d], context.keys[j * dim + d], score);
    score = score * scale;
    p[j % kTile] = score;
    tile.max = score > tile.max ? score : tile.max;
  }
  for (int j = begin; j < end; ++j) {
    float& weight = p[j % kTile];
    weight = Exp(weight - tile.max);
    for (int d = 0; d < dim; ++d)
      tile.out[d] = std::fma(weight, context.values[j * dim + d], tile.out[d]);
  }
  tile.sum = HalvingSum(p, kTile);
  return tile;
}

// Merges `later` into `state`.
void Merge(Softmax later, Softmax& state) {
  if (later.out.empty()) return;
  if (state.out.empty()) {
    state = std::move(later);
    return;
  }
  const float max = state.max > later.max ? state.max : later.max;
  const float a = Exp(state.max - max);
  const float b = Exp(later.max - max);
  state.sum = std::fma(state.sum, a, later.sum * b);
  for (size_t d = 0; d < state.out.size(); ++d)
    state.out[d] = std::fma(state.out[d], a, later.out[d] * b);
  state.max = max;
}

// One query at `position` over the keys that it sees.
void AttendQuery(const float* q, const AttentionSpec& spec, int position,
                 const Context& context, float* out) {
  const int end = position + 1;
  const int begin = spec.window > 0 ? std::max(0, end - spec.window) : 0;
  Softmax total;
  for (int s = begin / kSegment * kSegment; s < end; s += kSegment) {
    Softmax segment;
    for (int t = s; t < std::min(s + kSegment, end); t += kTile) {
      const int first = std::max(begin, t);
      const int last = std::min(end, t + kTile);
      if (first >= last) continue;
      Merge(AttendTile(q, spec.scale, spec.head_dim, context, first, last),
            segment);
    }
    Merge(std::move(segment), total);
  }
  for (int d = 0; d < spec.head_dim; ++d) out[d] = total.out[d] / total.sum;
}

// All queries of sequence s that read one KV head.
void AttendSequence(MatrixView qkv, const AttentionSpec& spec,
                    const KvHeadUse& use, const StepView& step, int s,
                    const KvLayer& kv, MatrixView out) {
  const int dim = spec.head_dim;
  const Context context = LoadContext(step, s, kv, use.kv_head);
  for (int t = step.cu_seqlens[s]; t < step.cu_seqlens[s + 1]; ++t) {
    for (int h = use.first_q_head; h < use.first_q_head + use.count; ++h) {
      const float* row = qkv.row<float>(t) + h * dim;
      std::vector<float> q(row, row + dim);
      Rotate(spec.rope, step.positions[t], q.data());
      AttendQuery(q.data(), spec, step.positions[t], context,
                  out.row<float>(t) + h * dim);
    }
  }
}

}  // namespace

void ReferenceAttend(MatrixView qkv, const AttentionSpec& spec,
                     const StepView& step, const KvLayer& kv, MatrixView out) {
  for (int t = 0; t < step.num_tokens; ++t)
    StoreToken(qkv.row<float>(t), spec, step.positions[t], step.slot_mapping[t],
               kv);
  for (int s = 0; s < step.num_sequences; ++s)
    for (const KvHeadUse& use : spec.heads)
      AttendSequence(qkv, spec, use, step, s, kv, out);
}

}  // namespace quatrain
