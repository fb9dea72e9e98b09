#include "worker/decoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/rope.h"

namespace quatrain {
namespace {

AttentionSpec AttentionOf(const ModelConfig& config, const RankShard& shard) {
  AttentionSpec spec;
  spec.num_q_heads = shard.q_heads.size();
  spec.num_kv_heads = shard.kv_heads.size();
  spec.head_dim = config.head_dim;
  spec.scale =
      static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
  for (const AttentionGroup& group : shard.attention)
    spec.heads.push_back({.kv_head = group.kv_head,
                          .first_q_head = group.first_query_head,
                          .count = group.count});
  RopeTable rope = ComputeRope(config);
  spec.rope = {.inv_freq = std::move(rope.inv_freq),
               .scaling = rope.attention_scaling};
  return spec;
}

}  // namespace

StageVocab StageVocab::Of(const ModelConfig& config,
                          std::span<const RankShard> stage) {
  StageVocab vocab;
  vocab.embedding.vocab_size = vocab.head.vocab_size = config.vocab_size;
  int embedding_end = 0, head_end = 0;
  for (const RankShard& shard : stage) {
    // A rank without a part ends where the rank before it does.
    embedding_end = std::max(embedding_end, shard.embedding.end);
    head_end = std::max(head_end, shard.lm_head.end);
    vocab.embedding.rank_ends.push_back(embedding_end);
    vocab.head.rank_ends.push_back(head_end);
  }
  return vocab;
}

Decoder::Decoder(const ModelConfig& config, const ModelShard& weights,
                 const StageVocab& vocab, const KvCache& kv_cache,
                 Backend& backend, const ActivationBuffers& buffers,
                 DecoderPeers peers)
    : weights_(weights),
      vocab_(vocab),
      kv_cache_(kv_cache),
      backend_(backend),
      buffers_(buffers),
      peers_(std::move(peers)) {
  const Range layers = weights.shard.layers;
  attention_.assign(layers.size(), AttentionOf(config, weights.shard));
  for (int i = 0; i < layers.size(); ++i)
    attention_[i].window = config.sliding_window[layers.begin + i];
}

std::vector<SampledRow> Decoder::RunStep(const StepView& step) {
  const ActivationBuffers::Views a = buffers_.top(step.num_tokens);
  std::vector<SampledRow> sampled;

  // Links stay outside Run: their peer may be a backend of another kind.
  if (peers_.from_previous) peers_.from_previous->Receive(a.residual);
  backend_.Run(step, [&] {
    if (weights_.shard.first_stage) Embed(step, a);
    RunLayers(step, a);
    if (weights_.shard.last_stage) sampled = Sample(step, a);
  });
  for (StageLink* link : peers_.to_next) link->Send(a.residual);
  return sampled;
}

void Decoder::Embed(const StepView& step, const ActivationBuffers::Views& a) {
  backend_.Embed(step, *weights_.embedding, vocab_.embedding, *peers_.group,
                 a.residual);
}

void Decoder::RunLayers(const StepView& step,
                        const ActivationBuffers::Views& a) {
  for (int layer = 0; layer < weights_.shard.layers.size(); ++layer)
    RunLayer(layer, step, a);
}

void Decoder::RunLayer(int layer, const StepView& step,
                       const ActivationBuffers::Views& a) {
  const LayerWeights& w = weights_.layers[layer];

  // Attention. qkv is cut by query head (column parallel), o likewise (row
  // parallel), so each rank ends with a partial sum of the output.
  backend_.Project(a.residual, &w.input_norm, *w.qkv, a.qkv);
  backend_.Attend(a.qkv, attention_[layer], step, kv_cache_.layer(layer),
                  a.attention);
  backend_.Project(a.attention, nullptr, *w.o, a.partial);
  backend_.ReduceAdd(a.partial, w.o_tail, *peers_.group, a.residual);

  // MLP. Same pattern: gate_up column parallel, down row parallel.
  backend_.Project(a.residual, &w.post_attention_norm, *w.gate_up, a.mlp);
  backend_.Project(a.mlp, nullptr, *w.down, a.partial);
  backend_.ReduceAdd(a.partial, w.down_tail, *peers_.group, a.residual);
}

std::vector<SampledRow> Decoder::Sample(const StepView& step,
                                        const ActivationBuffers::Views& a) {
  const std::span<const LogitsRow> rows = step.logits_rows;
  std::vector<SampledRow> sampled(rows.size());
  const std::span<SampledRow> out(sampled);
  for (size_t begin = 0; begin < rows.size(); begin += kLogitsTileRows) {
    const size_t count = std::min<size_t>(kLogitsTileRows, rows.size() - begin);
    const MatrixView logits = buffers_.logits.top(static_cast<int>(count));
    backend_.Head(a.residual, weights_.final_norm, *weights_.head(),
                  rows.subspan(begin, count), logits);
    backend_.Sample(logits, rows.subspan(begin, count), vocab_.head,
                    *peers_.group, out.subspan(begin, count));
  }
  return sampled;
}

}  // namespace quatrain
