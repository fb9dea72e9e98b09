#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "base/bounded_queue.h"
#include "kernels/backend.h"
#include "quatrain/internal/v1/step.pb.h"
#include "worker/batch_builder.h"
#include "worker/communicators.h"
#include "worker/decoder.h"
#include "worker/sample_ledger.h"

namespace quatrain {

// One rank's thread: takes plans in order and makes each one step: builds the
// batch, gets the ids that it continues, runs the decoder, publishes what was
// drawn, and reports. A fault ends the epoch: it is reported once, the
// communicators are aborted, and later plans are dropped.
class RankEngine {
 public:
  struct Options {
    int rank = 0;
    bool first_stage = false;
    bool samples = false;  // tensor rank 0 of the last stage
    PlanLimits limits;
  };
  // Called on the engine's thread, one result at a time.
  using OnResult = std::function<void(const internal::v1::StepResult&)>;

  // All borrowed, and used by nobody else while the engine lives.
  RankEngine(Options options, Decoder* decoder, Backend* backend,
             const ActivationBuffers* buffers, Communicators* communicators,
             OnResult on_result);
  // Aborts the communicators, since the thread may wait for a peer, and joins.
  ~RankEngine();

  // Runs one token through the model, before the first plan, and checks that
  // all ranks of the stage hold the same residual. Every rank of the group must
  // be called at about the same time. Internal if they differ.
  absl::Status Warmup();

  // False if more plans wait than any coordinator may have in flight. From any
  // thread, in plan order.
  bool Submit(std::shared_ptr<const ReceivedPlan> plan);

  // The last plan that this rank completed.
  uint64_t last_step() const { return last_step_; }

 private:
  using Clock = std::chrono::steady_clock;

  // Either a plan, or (null) the request for a warm-up.
  struct Work {
    std::shared_ptr<const ReceivedPlan> plan;
    std::promise<absl::Status>* warmup = nullptr;
  };

  void Loop();
  void Handle(const ReceivedPlan& plan);
  absl::Status RunPlan(const ReceivedPlan& received,
                       internal::v1::StepResult* result);
  absl::StatusOr<std::vector<SampledRow>> RunStep(const StepView& view,
                                                  uint64_t step_id);
  void ChainDigestOf(const ReceivedPlan& received, const StepView& view);
  void Publish(uint64_t step_id, std::span<const LogitsRow> rows,
               std::span<const SampledRow> sampled);
  absl::Status RunWarmup();
  absl::Status CompareResiduals(int num_tokens);
  void EchoIfDue(bool idle);
  internal::v1::StepResult NewResult() const;

  const Options options_;
  Decoder* const decoder_;
  Backend* const backend_;
  const ActivationBuffers* const buffers_;
  Communicators* const communicators_;
  const OnResult on_result_;

  // The engine thread's own.
  BatchBuilder builder_;
  SampleLedger ledger_;
  uint64_t digest_ = 0;
  uint64_t echoed_step_ = 0;
  Clock::time_point last_echo_;
  bool failed_ = false;

  std::atomic<uint64_t> last_step_{0};
  BoundedQueue<Work> queue_;
  std::jthread thread_;  // last: stops before what it uses
};

}  // namespace quatrain
