#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "base/steady_time.h"
#include "coordinator/block_manager.h"
#include "coordinator/digest_ledger.h"
#include "coordinator/engine.h"
#include "coordinator/plan_encoder.h"
#include "coordinator/plan_recorder.h"
#include "coordinator/request_stream.h"
#include "coordinator/scheduler.h"
#include "coordinator/step_clock.h"

namespace quatrain {

// A step that the group did not compute.
struct StepFailure {
  uint64_t step_id = 0;
  int rank = -1;  // to blame, -1 if nobody is known
  absl::Status status;
};

// The group of workers as the step loop sees it. Called on the loop's thread;
// returns at once.
class StepGroup {
 public:
  virtual ~StepGroup() = default;

  // Sends the same bytes to every process, in the order of the calls.
  virtual void SendPlan(const std::string& plan_bytes) = 0;

  // The epoch cannot go on. The group finds out who is to blame and ends it
  // with StepLoop::Fail.
  virtual void OnStepFailed(const StepFailure& failure) = 0;
};

// The thread that owns scheduler, blocks, sequences and listeners. It plans up
// to a limit ahead of results and commits results oldest first. The public
// methods are thread-safe.
class StepLoop final : public Engine {
 public:
  struct Options {
    Scheduler::Options scheduler;
    int block_size = 16;
    int plans_in_flight = 0;  // 0 = micro-batches + 1
    int max_queue = 1024;     // requests that wait for their first plan
    StepClock::Options clock;
    // For tests: results are taken up this much after they arrived.
    absl::Duration inject_result_delay = absl::ZeroDuration();
    std::string record_plans;  // file, or empty
  };

  // The group that the loop drives; the epoch's constants.
  struct GroupPlan {
    uint64_t epoch = 0;
    int num_blocks = 0;              // of the KV pool of every rank
    std::vector<int> stage_of_rank;  // one entry per rank
    int sampling_rank = 0;           // whose results carry rows
  };

  explicit StepLoop(Options options);
  ~StepLoop() override;  // fails what runs

  absl::Status Submit(GenerationRequest request,
                      std::unique_ptr<SequenceListener> listener) override;
  void Cancel(const std::string& request_id) override;
  EngineStats stats() const override;
  EngineState state() const override;

  // For the group.

  // Says what the group is doing before it is ready.
  void SetState(EnginePhase phase, std::string message);

  // The group can compute: begins to plan, takes requests. `group` must outlive
  // the loop or its Stop. Unavailable if the recording cannot be written.
  absl::Status Start(const GroupPlan& plan, StepGroup* group);

  // A message of the Execute stream of the process that hosts its rank.
  void OnOutcome(StepOutcome outcome);

  // The epoch is over: every request ends with `status`, later ones are
  // refused with it. The first call decides.
  void Fail(absl::Status status);

  // Takes nothing new, waits until what runs has ended, at most `grace`, ends
  // the rest with Unavailable and stops the thread.
  void Drain(absl::Duration grace);

 private:
  struct Submission {
    GenerationRequest request;
    std::unique_ptr<SequenceListener> listener;
    SteadyTime time;
  };
  struct Arrival {
    StepOutcome outcome;
    SteadyTime ready;  // not taken up before
  };
  struct InFlight {
    StepPlan plan;
    std::string bytes;
  };
  void Run();
  void TakeInbox();
  void WaitForInbox();
  SteadyTime NextWakeUp() const;
  void Accept(Submission submission);
  void DropExpired();
  void MakePlans();
  void Send(StepPlan plan);
  void MarkPlanned(const StepPlan& plan);
  void TakeOutcomes();
  absl::Status TakeOutcome(const StepOutcome& outcome);
  absl::Status CommitOldest(const StepOutcome& outcome);
  void CommitChunk(const PlannedChunk& chunk,
                   std::span<const StepOutcome::Row> rows);
  void CommitDraw(uint64_t sequence_id, RequestStream* stream,
                  const StepOutcome::Row& row);
  void FailSequence(uint64_t sequence_id, const absl::Status& status);
  RequestStream TakeOut(uint64_t sequence_id);
  void CheckWatchdog();
  void ReportFailure(const StepFailure& failure);
  void EndEverything(const absl::Status& status);
  absl::Status WhyNot(const GenerationRequest& request) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PublishStats();

  const Options options_;

  mutable Mutex mutex_;
  CondVar inbox_changed_;
  CondVar drained_;
  std::vector<Submission> submissions_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> cancels_ ABSL_GUARDED_BY(mutex_);
  std::deque<Arrival> arrivals_ ABSL_GUARDED_BY(mutex_);
  std::unordered_set<std::string> live_ids_ ABSL_GUARDED_BY(mutex_);
  int num_queued_ ABSL_GUARDED_BY(mutex_) = 0;  // submitted, never planned
  EngineState state_ ABSL_GUARDED_BY(mutex_);
  EngineStats stats_ ABSL_GUARDED_BY(mutex_);
  absl::Status end_ ABSL_GUARDED_BY(mutex_);  // not ok: end everything with it

  // The rest belongs to the loop's thread once it runs.
  GroupPlan group_plan_;
  StepGroup* group_ = nullptr;  // not ours
  std::unique_ptr<PlanRecorder> recorder_;
  std::unique_ptr<BlockManager> blocks_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<DigestLedger> digests_;
  StepClock clock_;
  SteadyTime last_check_;                                   // of the clock
  std::unordered_map<uint64_t, RequestStream> streams_;     // by sequence id
  std::unordered_map<std::string, uint64_t> sequence_ids_;  // by request id
  std::deque<InFlight> in_flight_;
  std::deque<Arrival> waiting_outcomes_;
  bool failed_ = false;  // reported, or ended: no more plans
  EngineStats counts_;   // those that only grow

  std::jthread thread_;
};

}  // namespace quatrain
