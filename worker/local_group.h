#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bounded_queue.h"
#include "model/model.h"
#include "quatrain/internal/v1/step.pb.h"
#include "worker/process_hub.h"
#include "worker/rank.h"
#include "worker/rendezvous_store.h"

namespace quatrain {

// All ranks of a group as threads of this process: for tools that need a model
// and no server, and for tests of layouts. It executes plans exactly as a
// worker process does; who makes them is the caller's business
// (worker/local_driver.h). Used by one thread.
class LocalGroup {
 public:
  // Loads the model and starts the ranks. `settings.layout` empty: one rank;
  // max_model_len 0: the model's. num_blocks 0: enough for max_num_seqs
  // sequences of max_model_len tokens.
  static absl::StatusOr<std::unique_ptr<LocalGroup>> Start(
      const std::string& model_folder, EngineSettings settings,
      int num_blocks = 0);
  ~LocalGroup();

  // Sends a plan to every rank; sets its epoch and step_id. Returns its
  // step_id.
  absl::StatusOr<uint64_t> Submit(internal::v1::StepPlan plan);

  // The sampling rank's next result, in plan order. A fault of any rank is its
  // status, and the end of the group.
  absl::StatusOr<internal::v1::StepResult> NextResult();

  // Submit and NextResult, with nothing else in flight.
  absl::StatusOr<internal::v1::StepResult> RunPlan(
      const internal::v1::StepPlan& plan);

  // Counts up: of the tenants that the next user of the slots brings.
  uint32_t NextGeneration() { return next_generation_++; }

  const Model& model() const { return model_; }
  const EngineSettings& settings() const { return settings_; }
  int num_blocks() const { return num_blocks_; }
  const std::vector<std::unique_ptr<Rank>>& ranks() const { return ranks_; }

 private:
  LocalGroup(Model model, EngineSettings settings, int num_blocks);

  absl::Status PlanRanks();
  absl::Status StartRanks();
  void OnResult(const internal::v1::StepResult& result);

  const Model model_;
  const EngineSettings settings_;
  const int num_blocks_;
  uint64_t next_step_ = 1;
  uint32_t next_generation_ = 1;
  BoundedQueue<internal::v1::StepResult> results_;  // faults and sampled rows
  ProcessHub hub_;
  MemoryKeyValueStore store_;
  std::vector<std::unique_ptr<Rank>> ranks_;  // last: stop before the others
};

}  // namespace quatrain
