#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/bounded_queue.h"
#include "model/model.h"
#include "quatrain/internal/v1/group.pb.h"
#include "worker/coordinator_client.h"
#include "worker/max_memory.h"
#include "worker/rank_pool.h"
#include "worker/worker_process.h"

namespace quatrain {

// One connection of this process to its coordinator, from the first Hello to
// the end. Three kinds of threads: the caller's executes commands, gRPC's hand
// over messages and plans and end waits that a command may be in, and a thread
// of its own beats and watches that the process leaves an epoch in time.
class CoordinatorSession {
 public:
  // Dials once. devices: one per rank. All arguments must outlive it.
  CoordinatorSession(const WorkerOptions& options, const Model& model,
                     const std::vector<DeviceLimit>& devices,
                     const internal::v1::Hello& hello);
  ~CoordinatorSession();

  // Serves until the end, or until `stop` is requested. Nothing if the
  // coordinator could not be reached, or asked to come again.
  std::optional<WorkerOutcome> Run(const std::stop_token& stop);

 private:
  // What the caller's thread hears: a message, or the loss of the coordinator.
  struct Event {
    internal::v1::CoordinatorMessage message;
    absl::Status lost;
  };

  // On the caller's thread.
  // Nothing once a stop is requested.
  std::optional<Event> NextEvent(const std::stop_token& stop);
  std::optional<WorkerOutcome> Refused(const internal::v1::Refusal& refusal);
  WorkerOutcome Serve(const std::stop_token& stop);
  WorkerOutcome LostCoordinator(const absl::Status& status);
  WorkerOutcome ShutDown(const internal::v1::Command& command);
  void Execute(const internal::v1::Command& command);
  absl::Status CheckEpoch(const internal::v1::Command& command);
  absl::Status Dispatch(const internal::v1::Command& command,
                        internal::v1::Reply* reply);
  absl::Status InitCommunicators(
      const internal::v1::InitCommunicators& command);
  RankPool::OnProgress ProgressOf(const internal::v1::Command& command);
  void Answer(const internal::v1::Command& command, const absl::Status& status,
              internal::v1::Reply reply);

  // On gRPC's threads.
  void OnControl(const internal::v1::CoordinatorMessage& message);
  void OnPlan(std::string bytes);
  void OnLost(const absl::Status& status);

  // On any.
  void Leave();
  void AbortNow(const absl::Status& reason);
  void WatchAbort();
  // Whatever a command waits for or reads, it is not wanted any more.
  bool interrupted() const { return abort_deadline_ns_ != 0; }
  void SampleMemory();

  // On the thread of beats.
  void BeatLoop(const std::stop_token& stop);
  internal::v1::Beat MakeBeat();
  void ExitIfStuck();

  const WorkerOptions& options_;
  std::atomic<bool> ready_{false};  // the pool exists
  std::atomic<uint64_t> epoch_{0};
  std::atomic<bool> leaving_{false};
  std::atomic<int64_t> abort_deadline_ns_{0};  // 0 = none
  std::atomic<int64_t> memory_bytes_{0}, peak_memory_bytes_{0};
  std::atomic<bool> ending_{false};        // a shutdown arrived
  std::atomic<bool> epoch_failed_{false};  // by a peer or by a rank here
  WorkerOutcome failure_;                  // what the last command came to
  BoundedQueue<Event> events_;
  CoordinatorClient client_;
  RankPool pool_;
  std::jthread beats_;  // last: stops before what it uses
};

}  // namespace quatrain
