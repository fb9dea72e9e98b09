#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>

#include "absl/status/status.h"

namespace quatrain {

// What one worker process is started with.
struct WorkerOptions {
  std::string coordinator;  // "host:port" of its internal port
  std::string name;         // unique in the group; workers are ordered by it
  std::string model_folder;
  int num_ranks = 1;
  // "cpu=1GiB" for the process, or one per rank, "0=1GiB,1=2GiB", where ranks
  // without one are not hosted; empty: half of the available memory, shared by
  // the ranks of the host. See worker/max_memory.h.
  std::string max_memory;
  // "" or 0: as the coordinator says.
  std::string backend;
  std::string isa;
  int threads = 0;  // per rank
  // Address that data between ranks goes through; "": the local end of the
  // connection to the coordinator.
  std::string data_host;
  // With processes of the same host, where the system lets it.
  bool share_memory = true;
  // Without a beat from the coordinator for this long it counts as lost.
  std::chrono::milliseconds coordinator_timeout{10'000};
};

// What a worker process ends with (docs/cli.md).
enum WorkerExit : int {
  kWorkerStopped = 0,
  kWorkerFailed = 1,
  kWorkerRefused = 2,          // bad options, or the coordinator's refusal
  kWorkerDoesNotFit = 3,       // a budget is too small
  kWorkerModelUnreadable = 4,  // or another model than the coordinator's
  kWorkerLostPeer = 75,        // the coordinator or a peer: start it again
};

struct WorkerOutcome {
  WorkerExit code = kWorkerStopped;
  absl::Status status;    // says why, where code is not 0
  bool attached = false;  // it was part of a group: the coordinator says it too
};

// Opens the model, dials the coordinator until it answers, and serves its
// ranks until the coordinator ends the group or goes away, or `stop` is
// requested. Blocks. A process that cannot leave an epoch within two seconds
// ends itself with kWorkerLostPeer. Call once per process.
WorkerOutcome RunWorker(const WorkerOptions& options, std::stop_token stop);

}  // namespace quatrain
