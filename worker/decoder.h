#pragma once

#include <span>
#include <vector>

#include "kernels/backend.h"
#include "model/model_config.h"
#include "worker/activation_buffers.h"
#include "worker/kv_cache.h"
#include "worker/model_shard.h"
#include "worker/stage_link.h"

namespace quatrain {

// How the vocabulary is cut over the ranks of a stage, for its embedding and
// for its head. Both follow from the shards of the stage, in order of tp_rank.
struct StageVocab {
  VocabSpec embedding, head;

  static StageVocab Of(const ModelConfig& config,
                       std::span<const RankShard> stage);
};

// What a rank talks to its peers through during a step; all borrowed.
struct DecoderPeers {
  TensorGroup* group = nullptr;
  StageLink* from_previous = nullptr;  // null on the first stage
  std::vector<StageLink*> to_next;     // none on the last stage
};

// The model, on one rank: written once for all backends and all rank counts.
// All arguments are borrowed and must outlive it. Used by the rank's thread.
class Decoder {
 public:
  Decoder(const ModelConfig& config, const ModelShard& weights,
          const StageVocab& vocab, const KvCache& kv_cache, Backend& backend,
          const ActivationBuffers& buffers, DecoderPeers peers);

  // One step of at least one token: takes the residual from the embedding or
  // from the stage before, runs this stage's layers, and passes it on or draws
  // from it. Returns one entry per logits row, complete on tensor rank 0 of the
  // last stage and empty elsewhere. Faults come back by Backend::Finish and by
  // the status of the peers.
  std::vector<SampledRow> RunStep(const StepView& step);

  // One layer of this rank, counted from the shard's first: reads and updates
  // the residual, which all ranks of the stage hold whole.
  void RunLayer(int layer, const StepView& step,
                const ActivationBuffers::Views& a);

 private:
  void RunLayers(const StepView& step, const ActivationBuffers::Views& a);
  void Embed(const StepView& step, const ActivationBuffers::Views& a);
  std::vector<SampledRow> Sample(const StepView& step,
                                 const ActivationBuffers::Views& a);

  const ModelShard& weights_;
  const StageVocab vocab_;
  const KvCache& kv_cache_;
  Backend& backend_;
  const ActivationBuffers& buffers_;
  const DecoderPeers peers_;
  std::vector<AttentionSpec> attention_;  // per layer of the shard
};

}  // namespace quatrain
