#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "model/model.h"
#include "quatrain/internal/v1/group.pb.h"
#include "worker/max_memory.h"
#include "worker/process_hub.h"
#include "worker/rank.h"
#include "worker/rendezvous_store.h"
#include "worker/worker_process.h"

namespace quatrain {

// The ranks of a worker process, and what each command of the coordinator does
// to them. Commands come from one thread; Abort, OnPlan and last_step from any.
class RankPool {
 public:
  // `model` and `store` must outlive the pool. devices: one per rank that the
  // process can host.
  RankPool(const Model& model, const WorkerOptions& options,
           std::vector<DeviceLimit> devices, KeyValueStore* store);
  ~RankPool();

  // Each fills what it has to report. ResourceExhausted, with the numbers per
  // term, where a rank does not fit its limit.
  absl::Status PlanShard(const internal::v1::PlanShard& command,
                         internal::v1::Reply* reply);
  using OnProgress = std::function<void(int rank, int64_t done, int64_t total)>;
  // Cancelled, soon after `cancelled` begins to say yes.
  absl::Status LoadShard(const OnProgress& progress,
                         const std::function<bool()>& cancelled,
                         internal::v1::Reply* reply);
  absl::Status InitCommunicators(const internal::v1::InitCommunicators& command,
                                 const std::string& data_host);
  absl::Status AllocateKvCache(int64_t num_blocks, uint64_t epoch,
                               RankEngine::OnResult on_result);
  absl::Status Warmup();
  // Joins the threads of the epoch and drops its communicators.
  void LeaveEpoch();

  // Makes everybody who waits for a peer return, and takes no further plan.
  void Abort(const absl::Status& reason);
  // Hands a plan to every rank, if it is of the running epoch.
  absl::Status OnPlan(std::string bytes);
  // The last plan that every rank completed.
  uint64_t last_step() const;

 private:
  absl::Status CheckPlaces(const internal::v1::PlanShard& command,
                           const Layout& layout) const;
  EngineSettings WithOwnOptions(EngineSettings settings) const;
  // Makes the ranks of a command that was checked.
  absl::Status PlanRanks(const internal::v1::PlanShard& command);

  const Model& model_;
  const WorkerOptions& options_;
  const std::vector<DeviceLimit> devices_;
  KeyValueStore* const store_;
  ProcessHub hub_;

  std::string planned_;  // the PlanShard that ranks_ were made from
  EngineSettings settings_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  bool loaded_ = false;

  mutable Mutex mutex_;
  std::string prefix_ ABSL_GUARDED_BY(mutex_);          // of the communicators
  uint64_t running_epoch_ ABSL_GUARDED_BY(mutex_) = 0;  // 0 = takes no plan
};

}  // namespace quatrain
