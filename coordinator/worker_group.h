#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "coordinator/group_service.h"
#include "coordinator/rendezvous_store.h"
#include "coordinator/step_loop.h"
#include "coordinator/worker_registry.h"
#include "model/layout.h"

namespace quatrain {

struct WorkerGroupOptions {
  GroupServer::Options server;
  uint64_t epoch = 0;  // 0 = from the clock, so that no restart repeats one
  std::string build_id;
  uint32_t protocol_revision = 1;
  std::string model_digest;
  std::vector<std::string> workers;  // names that may attach; empty = any
  Layout layout;

  // What every rank is told; num_micro_batches, max_num_seqs and so on come
  // from the step loop's options.
  std::string kv_cache_dtype = "f16";
  std::string activations = "exact";
  std::string backend = "cpu";
  std::string isa = "auto";
  int threads = 0;         // per rank; 0 = by the cores of its host
  int max_num_blocks = 0;  // of the KV pool; 0 = what fits the budgets
  int num_token_ids = 0;   // of the tokenizer; 0 = no padding rows

  absl::Duration worker_timeout = absl::Seconds(3);  // without a beat
  absl::Duration step_timeout = absl::Seconds(30);   // wait inside a step
  absl::Duration attach_timeout = absl::InfiniteDuration();
  absl::Duration plan_timeout = absl::Seconds(60);
  absl::Duration load_timeout = absl::Hours(2);
  absl::Duration connect_timeout = absl::Seconds(20);  // of one attempt
  absl::Duration warmup_timeout = absl::Minutes(5);
};

// The group of worker processes of one epoch, from the first Hello to the last
// Shutdown: waits for the workers, has them plan, load, connect and warm up,
// lets the step loop run, and ends the epoch when a rank is lost.
class WorkerGroup final : public StepGroup {
 public:
  // Opens the internal port and begins to wait for workers. `loop` must
  // outlive the group and not have been started. InvalidArgument if plans may
  // hold more tokens than kMaxBatchedTokens, or for what GroupServer refuses.
  static absl::StatusOr<std::unique_ptr<WorkerGroup>> Start(
      WorkerGroupOptions options, const StepLoop::Options& loop_options,
      StepLoop* loop);
  ~WorkerGroup() override;  // stops

  int port() const { return server_->port(); }
  uint64_t epoch() const { return options_.epoch; }

  // Waits until the group has come to its end: OK after Stop; Unavailable,
  // naming ranks, worker, host and reason, after a loss; the status that
  // refused the layout or the budget; DeadlineExceeded where workers stayed
  // away.
  absl::Status WaitUntilDone();

  // Waits until requests are taken, or the group has come to its end.
  absl::Status WaitUntilReady();

  // Finishes what runs, at most `grace`, then shuts the workers down.
  void Stop(absl::Duration grace);

 private:
  friend class GroupLife;  // from the first Hello to the end, on thread_

  WorkerGroup(WorkerGroupOptions options, const StepLoop::Options& loop_options,
              StepLoop* loop);
  void SendPlan(const std::string& plan_bytes) override;
  void OnStepFailed(const StepFailure& failure) override;

  void SendBeats(std::stop_token stop);
  void SetReady();
  void SetDone(absl::Status status);
  std::optional<StepFailure> TakeFailure();
  // The grace of the Stop that was asked for.
  std::optional<absl::Duration> StopGrace();

  WorkerGroupOptions options_;
  const StepLoop::Options loop_options_;
  StepLoop* const loop_;
  WorkerRegistry registry_;
  RendezvousStore store_;
  std::unique_ptr<GroupServer> server_;

  Mutex mutex_;
  CondVar changed_;
  bool ready_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status result_ ABSL_GUARDED_BY(mutex_);
  std::vector<StepFailure> failures_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration grace_ ABSL_GUARDED_BY(mutex_);

  std::jthread beats_;  // sends beats, expires waits of the store
  std::jthread thread_;
};

}  // namespace quatrain
