#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/request.h"

namespace quatrain {

enum class EnginePhase {
  kStarting,  // waiting for workers
  kLoading,   // planning, loading weights, connecting
  kReady,
  kDegraded,  // serves, but something needs a look
  kDraining,  // finishes what runs, takes nothing new
  kFailed,    // the group lost a rank; the process is about to end
};

struct EngineState {
  EnginePhase phase = EnginePhase::kStarting;
  std::string message;  // for people: what it waits for, or why it failed
};

// A snapshot, at most one step old.
struct EngineStats {
  int num_running = 0;  // sequences that hold KV blocks
  int num_waiting = 0;  // submitted or preempted, without KV blocks
  int num_blocks = 0;   // of the group; 0 until it is planned
  int num_used_blocks = 0;
  int block_size = 0;               // tokens per block
  int max_model_len = 0;            // tokens of one sequence
  absl::Duration median_step_time;  // of recent steps, between their commits
  uint64_t num_steps = 0;           // committed
  uint64_t num_preemptions = 0;
  uint64_t num_prompt_tokens = 0;     // prefilled, replays included
  uint64_t num_generated_tokens = 0;  // committed
  uint64_t num_dropped_rows = 0;      // planned after their sequence had ended
  uint64_t num_plan_bytes = 0;
  int num_plans_in_flight = 0;
};

// What the services need of the step loop. Thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;

  // Takes a request; `listener` then hears of it on the step loop's thread,
  // until OnFinished or OnFailed. When this returns an error nobody calls it.
  //   Unavailable        not ready, draining or failed
  //   ResourceExhausted  as many requests wait as may
  //   AlreadyExists      a request with this id has not ended yet
  //   InvalidArgument    prompt and one token do not fit the context or the KV
  //                      pool, whatever else runs
  virtual absl::Status Submit(GenerationRequest request,
                              std::unique_ptr<SequenceListener> listener) = 0;

  // Ends the request with OnFailed(Cancelled) and frees all it holds within a
  // step. Nothing happens if it has ended already.
  virtual void Cancel(const std::string& request_id) = 0;

  virtual EngineStats stats() const = 0;
  virtual EngineState state() const = 0;
};

}  // namespace quatrain
