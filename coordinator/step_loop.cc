#include "coordinator/step_loop.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

constexpr absl::Duration kLongestSleep = absl::Milliseconds(100);
// Between two looks at the clock; more, and this process itself was stopped,
// or its thread had no core.
constexpr absl::Duration kHeldUp = absl::Milliseconds(300);

}  // namespace

StepLoop::StepLoop(Options options)
    : options_(std::move(options)), clock_(options_.clock) {
  state_.message = "waiting for workers";
}

StepLoop::~StepLoop() { Drain(absl::ZeroDuration()); }

absl::Status StepLoop::Submit(GenerationRequest request,
                              std::unique_ptr<SequenceListener> listener) {
  MutexLock lock(&mutex_);
  RETURN_IF_ERROR(WhyNot(request));
  live_ids_.insert(request.request_id);
  ++num_queued_;
  submissions_.push_back(
      {std::move(request), std::move(listener), SteadyTime::Now()});
  inbox_changed_.Signal();
  return absl::OkStatus();
}

absl::Status StepLoop::WhyNot(const GenerationRequest& request) const {
  if (!end_.ok()) return end_;
  if (state_.phase != EnginePhase::kReady &&
      state_.phase != EnginePhase::kDegraded)
    return absl::UnavailableError(absl::StrCat("not ready: ", state_.message));
  if (live_ids_.contains(request.request_id))
    return absl::AlreadyExistsError(absl::StrCat(
        "request_id \"", request.request_id, "\": still being generated"));
  if (num_queued_ >= options_.max_queue)
    return absl::ResourceExhaustedError(absl::StrCat(
        num_queued_, " requests wait already, expected fewer than ",
        options_.max_queue, " (--max-queue)"));
  // Reads constants only, so any thread may ask.
  return scheduler_->CheckFits(
      static_cast<int>(request.prompt_token_ids.size()));
}

void StepLoop::Cancel(const std::string& request_id) {
  MutexLock lock(&mutex_);
  if (!live_ids_.contains(request_id)) return;
  cancels_.push_back(request_id);
  inbox_changed_.Signal();
}

EngineStats StepLoop::stats() const {
  MutexLock lock(&mutex_);
  EngineStats stats = stats_;
  stats.num_waiting += static_cast<int>(submissions_.size());
  return stats;
}

EngineState StepLoop::state() const {
  MutexLock lock(&mutex_);
  return state_;
}

void StepLoop::SetState(EnginePhase phase, std::string message) {
  MutexLock lock(&mutex_);
  if (state_.phase != EnginePhase::kFailed)
    state_ = {phase, std::move(message)};
}

absl::Status StepLoop::Start(const GroupPlan& plan, StepGroup* group) {
  if (!options_.record_plans.empty()) {
    ASSIGN_OR_RETURN(recorder_, PlanRecorder::Open(options_.record_plans));
  }
  group_plan_ = plan;
  group_ = group;
  blocks_ =
      std::make_unique<BlockManager>(plan.num_blocks, options_.block_size);
  scheduler_ = std::make_unique<Scheduler>(options_.scheduler, blocks_.get());
  digests_ = std::make_unique<DigestLedger>(plan.stage_of_rank);
  PublishStats();
  last_check_ = SteadyTime::Now();
  thread_ = std::jthread([this] { Run(); });
  SetState(EnginePhase::kReady, "ready");
  return absl::OkStatus();
}

void StepLoop::OnOutcome(StepOutcome outcome) {
  MutexLock lock(&mutex_);
  arrivals_.push_back(
      {std::move(outcome), SteadyTime::Now() + options_.inject_result_delay});
  inbox_changed_.Signal();
}

void StepLoop::Fail(absl::Status status) {
  CHECK(!status.ok());
  MutexLock lock(&mutex_);
  if (!end_.ok()) return;
  state_ = {EnginePhase::kFailed, std::string(status.message())};
  end_ = std::move(status);
  inbox_changed_.Signal();
}

void StepLoop::Drain(absl::Duration grace) {
  {
    MutexLock lock(&mutex_);
    if (state_.phase != EnginePhase::kFailed)
      state_ = {EnginePhase::kDraining, "the server is shutting down"};
    const SteadyTime deadline = SteadyTime::Now() + grace;
    while (!live_ids_.empty() && end_.ok() && SteadyTime::Now() < deadline)
      drained_.WaitFor(&mutex_,
                       absl::ToChronoNanoseconds(deadline - SteadyTime::Now()));
    if (end_.ok()) end_ = absl::UnavailableError("the server is shutting down");
    inbox_changed_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

void StepLoop::Run() {
  while (true) {
    WaitForInbox();
    TakeInbox();
    {
      MutexLock lock(&mutex_);
      if (!end_.ok()) break;
    }
    TakeOutcomes();
    DropExpired();
    CheckWatchdog();
    MakePlans();
    PublishStats();
  }
  absl::Status end;
  {
    MutexLock lock(&mutex_);
    end = end_;
  }
  TakeInbox();  // what came before the end was decided
  EndEverything(end);
  PublishStats();
}

void StepLoop::WaitForInbox() {
  const SteadyTime wake_up = NextWakeUp();
  MutexLock lock(&mutex_);
  while (submissions_.empty() && cancels_.empty() && arrivals_.empty() &&
         end_.ok()) {
    const absl::Duration left = wake_up - SteadyTime::Now();
    if (left <= absl::ZeroDuration()) return;
    inbox_changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(left));
  }
}

SteadyTime StepLoop::NextWakeUp() const {
  SteadyTime next = SteadyTime::Now() + kLongestSleep;
  if (!waiting_outcomes_.empty())
    next = std::min(next, waiting_outcomes_.front().ready);
  return next;
}

void StepLoop::TakeInbox() {
  std::vector<Submission> submissions;
  std::vector<std::string> cancels;
  {
    MutexLock lock(&mutex_);
    submissions.swap(submissions_);
    cancels.swap(cancels_);
    while (!arrivals_.empty()) {
      waiting_outcomes_.push_back(std::move(arrivals_.front()));
      arrivals_.pop_front();
    }
  }
  for (Submission& submission : submissions) Accept(std::move(submission));
  for (const std::string& request_id : cancels) {
    const auto found = sequence_ids_.find(request_id);
    if (found != sequence_ids_.end())
      FailSequence(found->second, absl::CancelledError("cancelled"));
  }
}

void StepLoop::Accept(Submission submission) {
  RequestStream stream(submission.request, std::move(submission.listener),
                       submission.time);
  const uint64_t id = scheduler_->Add(std::move(submission.request));
  sequence_ids_[stream.request_id()] = id;
  streams_.emplace(id, std::move(stream));
}

void StepLoop::DropExpired() {
  for (const uint64_t id : scheduler_->Expired(absl::Now()))
    FailSequence(id, absl::DeadlineExceededError(
                         "the deadline passed while the request was queued"));
}

void StepLoop::MakePlans() {
  const size_t limit = options_.plans_in_flight > 0
                           ? options_.plans_in_flight
                           : options_.scheduler.num_micro_batches + 1;
  while (!failed_ && in_flight_.size() < limit) {
    std::optional<StepPlan> plan = scheduler_->Plan();
    if (!plan) return;
    Send(*std::move(plan));
  }
}

void StepLoop::Send(StepPlan plan) {
  std::string bytes = EncodePlan(plan, group_plan_.epoch);
  if (recorder_) recorder_->PlanSent(plan.step_id, bytes);
  clock_.Sent(plan.num_tokens(), SteadyTime::Now());
  group_->SendPlan(bytes);
  counts_.num_plan_bytes += bytes.size();
  MarkPlanned(plan);
  in_flight_.push_back({std::move(plan), std::move(bytes)});
}

void StepLoop::MarkPlanned(const StepPlan& plan) {
  int newly_planned = 0;
  for (const PlannedChunk& chunk : plan.chunks) {
    counts_.num_prompt_tokens += chunk.token_ids.size();
    if (streams_.at(chunk.sequence_id).MarkPlanned(SteadyTime::Now()))
      ++newly_planned;
  }
  if (newly_planned == 0) return;
  MutexLock lock(&mutex_);
  num_queued_ -= newly_planned;
}

void StepLoop::TakeOutcomes() {
  while (!failed_ && !waiting_outcomes_.empty() &&
         waiting_outcomes_.front().ready <= SteadyTime::Now()) {
    const StepOutcome outcome = std::move(waiting_outcomes_.front().outcome);
    waiting_outcomes_.pop_front();
    if (outcome.epoch != group_plan_.epoch || outcome.step_id == 0) continue;
    const absl::Status status = TakeOutcome(outcome);
    if (status.ok()) {
      MakePlans();  // before the next commit, which may be due as well
      continue;
    }
    int culprit = outcome.rank;
    if (outcome.fault && outcome.fault->peer_rank >= 0)
      culprit = outcome.fault->peer_rank;
    ReportFailure(
        {.step_id = outcome.step_id, .rank = culprit, .status = status});
  }
  // Nobody takes up the rest, and a wait for it would be none.
  if (failed_) waiting_outcomes_.clear();
}

absl::Status StepLoop::TakeOutcome(const StepOutcome& outcome) {
  const int num_ranks = static_cast<int>(group_plan_.stage_of_rank.size());
  if (outcome.rank < 0 || outcome.rank >= num_ranks) {
    return absl::InternalError(absl::StrCat("step result of rank ",
                                            outcome.rank, ", expected one of ",
                                            num_ranks, " ranks"));
  }
  if (outcome.fault) return outcome.fault->status;
  if (outcome.rank == group_plan_.sampling_rank) return CommitOldest(outcome);
  return digests_->Reported(outcome.rank, outcome.step_id, outcome.digest);
}

absl::Status StepLoop::CommitOldest(const StepOutcome& outcome) {
  if (in_flight_.empty() ||
      in_flight_.front().plan.step_id != outcome.step_id) {
    const std::string expected =
        in_flight_.empty() ? "none"
                           : absl::StrCat(in_flight_.front().plan.step_id);
    return absl::InternalError(absl::StrCat("result of step ", outcome.step_id,
                                            ", expected step ", expected));
  }
  if (recorder_) recorder_->ResultArrived(outcome.step_id);
  const InFlight oldest = std::move(in_flight_.front());
  in_flight_.pop_front();
  clock_.Committed(SteadyTime::Now());
  RETURN_IF_ERROR(CheckRows(oldest.plan, outcome));
  RETURN_IF_ERROR(digests_->Committed(oldest.plan, oldest.bytes, outcome));
  ++counts_.num_steps;

  std::span<const StepOutcome::Row> rows = outcome.rows;
  for (const PlannedChunk& chunk : oldest.plan.chunks) {
    const size_t count = chunk.num_scored + (chunk.draw ? 1 : 0);
    CommitChunk(chunk, rows.first(count));
    rows = rows.subspan(count);
  }
  return absl::OkStatus();
}

void StepLoop::CommitChunk(const PlannedChunk& chunk,
                           std::span<const StepOutcome::Row> rows) {
  const auto found = streams_.find(chunk.sequence_id);
  if (found == streams_.end()) {
    counts_.num_dropped_rows += rows.size();
    return;
  }
  RequestStream* stream = &found->second;
  for (const StepOutcome::Row& row : rows) {
    if (!row.not_finite) continue;
    FailSequence(chunk.sequence_id,
                 absl::InternalError(absl::StrCat(
                     "position ", row.position,
                     ": the model computed a value that is not finite")));
    return;
  }
  // A prompt of one token has no scores, but its first token is told as well.
  const bool owes = chunk.draw && stream->owes_first_prompt_token();
  if (chunk.num_scored > 0 || owes)
    stream->TellPrompt(rows.first(chunk.num_scored));
  if (chunk.draw) CommitDraw(chunk.sequence_id, stream, rows.back());
}

void StepLoop::CommitDraw(uint64_t sequence_id, RequestStream* stream,
                          const StepOutcome::Row& row) {
  const auto committed = scheduler_->Commit(sequence_id, row.token_id);
  CHECK(committed.has_value()) << "sequence " << sequence_id;
  ++counts_.num_generated_tokens;
  const std::optional<SequenceEnd> end =
      stream->TellToken(row, *committed, SteadyTime::Now());
  if (end) TakeOut(sequence_id).Finish(*end);
}

void StepLoop::FailSequence(uint64_t sequence_id, const absl::Status& status) {
  TakeOut(sequence_id).Fail(status);
}

// Forgets the sequence everywhere; its last words are up to the caller.
RequestStream StepLoop::TakeOut(uint64_t sequence_id) {
  scheduler_->Remove(sequence_id);
  const auto found = streams_.find(sequence_id);
  CHECK(found != streams_.end()) << "sequence " << sequence_id;
  RequestStream stream = std::move(found->second);
  streams_.erase(found);
  sequence_ids_.erase(stream.request_id());
  PublishStats();  // who hears of the end may look at what is in use

  MutexLock lock(&mutex_);
  live_ids_.erase(stream.request_id());
  // Who takes the id next has not been cancelled.
  std::erase(cancels_, stream.request_id());
  if (!stream.planned()) --num_queued_;
  if (live_ids_.empty()) drained_.SignalAll();
  return stream;
}

void StepLoop::CheckWatchdog() {
  const SteadyTime now = SteadyTime::Now();
  // Results may lie about unread: no rank is to blame for that.
  if (now - last_check_ > kHeldUp) clock_.HeldUp(now);
  last_check_ = now;
  if (failed_ || now < clock_.deadline()) return;
  const uint64_t step_id = in_flight_.front().plan.step_id;
  ReportFailure({.step_id = step_id,
                 .status = absl::UnavailableError(
                     absl::StrCat("no result of step ", step_id, " after ",
                                  absl::FormatDuration(clock_.timeout())))});
}

void StepLoop::ReportFailure(const StepFailure& failure) {
  if (failed_) return;
  failed_ = true;
  group_->OnStepFailed(failure);
}

void StepLoop::EndEverything(const absl::Status& status) {
  failed_ = true;
  while (!streams_.empty()) FailSequence(streams_.begin()->first, status);
}

void StepLoop::PublishStats() {
  EngineStats stats = counts_;
  stats.num_running = scheduler_->num_running();
  stats.num_waiting = scheduler_->num_waiting();
  stats.num_blocks = blocks_->num_blocks();
  stats.num_used_blocks = blocks_->num_used_blocks();
  stats.block_size = blocks_->block_size();
  stats.max_model_len = scheduler_->max_sequence_tokens();
  stats.median_step_time = clock_.median_step_time();
  stats.num_preemptions = scheduler_->num_preemptions();
  stats.num_plans_in_flight = static_cast<int>(in_flight_.size());
  MutexLock lock(&mutex_);
  stats_ = stats;
}

}  // namespace quatrain
