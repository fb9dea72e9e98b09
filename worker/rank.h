#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/model.h"
#include "worker/activation_buffers.h"
#include "worker/communicators.h"
#include "worker/decoder.h"
#include "worker/engine.h"
#include "worker/engine_settings.h"
#include "worker/kv_cache.h"
#include "worker/memory_plan.h"
#include "worker/model_shard.h"
#include "worker/rank_factory.h"

namespace quatrain {

// One rank from its plan to its last step. The steps of its life come in the
// order in which they are declared; each needs the one before. Called by one
// thread at a time, but for Submit, Abort and last_step.
class Rank {
 public:
  struct Inputs {
    int rank = 0;
    std::string device;         // for messages
    int64_t limit_bytes = 0;    // everything included
    int64_t process_bytes = 0;  // this rank's part of what the process holds
    int64_t comm_bytes = 0;
  };

  // Computes slices and memory from headers alone. `model` must outlive the
  // rank; settings.layout must be one that CheckLayout accepts.
  static absl::StatusOr<std::unique_ptr<Rank>> Plan(
      const Model& model, const EngineSettings& settings, const Inputs& inputs);

  const MemoryPlan& memory_plan() const { return plan_; }
  int rank() const { return plan_.rank; }
  int64_t stored_bytes() const { return sources_.stored_bytes(); }

  // Makes the backend and packs the weights. May be called again when it failed
  // or was cancelled.
  absl::Status Load(const LoadWatch& watch);
  int64_t weights_bytes() const;  // as allocated
  // Of these, what every step reads: all but a table of which it looks up rows.
  int64_t step_weights_bytes() const;

  // Forms the communicators; all ranks of the group at about the same time. May
  // be called again, under another prefix, when it failed.
  absl::Status Connect(const GroupLayout& layout, ProcessHub* hub,
                       KeyValueStore* store, const std::string& prefix,
                       const CommunicatorOptions& options);

  bool connected() const { return communicators_.has_value(); }

  absl::Status AllocateKvCache(int num_blocks);

  // Starts the thread of this epoch.
  void Start(uint64_t epoch, RankEngine::OnResult on_result);
  bool started() const { return engine_ != nullptr; }
  absl::Status Warmup() { return engine_->Warmup(); }
  bool Submit(std::shared_ptr<const ReceivedPlan> plan) {
    return engine_->Submit(std::move(plan));
  }
  uint64_t last_step() const { return engine_ ? engine_->last_step() : 0; }

  // Leaves the epoch: the thread and the communicators go, weights stay.
  void Stop();

  const Backend& backend() const { return *backend_; }
  const DeviceMemory& memory() const { return backend_->memory(); }

 private:
  Rank(const Model& model, const EngineSettings& settings)
      : model_(model), settings_(settings) {}

  const Model& model_;
  const EngineSettings settings_;
  StageVocab vocab_;
  ShardSources sources_;
  MemoryPlan plan_;

  // In the order in which they depend on each other.
  std::unique_ptr<Backend> backend_;
  std::optional<ActivationBuffers> buffers_;
  std::optional<ModelShard> weights_;
  std::optional<KvCache> kv_cache_;
  std::optional<Communicators> communicators_;
  std::optional<Decoder> decoder_;
  std::unique_ptr<RankEngine> engine_;
};

// Where every rank of a layout sits, if the process of rank r is processes[r].
GroupLayout PlacesOf(const Layout& layout, const std::vector<int>& processes);

// What the communicators of `rank` will hold, before it is known which other
// ranks share its process: at most this.
int64_t MostCommunicatorBytes(const Layout& layout, int rank,
                              const CommunicatorOptions& options);

CommunicatorOptions CommunicatorOptionsOf(const ModelConfig& config,
                                          const EngineSettings& settings);

}  // namespace quatrain
