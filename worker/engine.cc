#include "worker/engine.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/status_macros.h"
#include "spdlog/spdlog.h"

namespace quatrain {
namespace {

// More than any coordinator has in flight.
constexpr size_t kMaxQueuedPlans = 256;

// Ranks that do not sample tell their digest this often.
constexpr uint64_t kEchoSteps = 32;
constexpr std::chrono::milliseconds kEchoInterval(100);

constexpr std::chrono::milliseconds kIdle(100);

}  // namespace

RankEngine::RankEngine(Options options, Decoder* decoder, Backend* backend,
                       const ActivationBuffers* buffers,
                       Communicators* communicators, OnResult on_result)
    : options_(options),
      decoder_(decoder),
      backend_(backend),
      buffers_(buffers),
      communicators_(communicators),
      on_result_(std::move(on_result)),
      builder_(options.limits),
      ledger_(communicators->ids.get(), communicators->tensor_group.get(),
              options.limits.num_slots),
      last_echo_(Clock::now()),
      queue_(kMaxQueuedPlans),
      thread_([this] { Loop(); }) {}

RankEngine::~RankEngine() {
  queue_.Close();
  // A rank that waits for a peer would otherwise keep the thread.
  communicators_->Abort(absl::CancelledError("the engine stops"));
}

absl::Status RankEngine::Warmup() {
  std::promise<absl::Status> done;
  std::future<absl::Status> status = done.get_future();
  if (!queue_.Push({nullptr, &done}))
    return absl::CancelledError("the engine stops");
  return status.get();
}

bool RankEngine::Submit(std::shared_ptr<const ReceivedPlan> plan) {
  Work work{std::move(plan)};
  return queue_.TryPush(work);
}

void RankEngine::Loop() {
  while (true) {
    std::optional<Work> work = queue_.PopFor(kIdle);
    if (!work && queue_.closed()) return;
    if (work && work->warmup) {
      const absl::Status status = RunWarmup();
      failed_ = !status.ok();
      work->warmup->set_value(status);
    } else if (work && !failed_) {
      Handle(*work->plan);
    }
    if (!failed_) EchoIfDue(!work);
  }
}

void RankEngine::Handle(const ReceivedPlan& plan) {
  const Clock::time_point start = Clock::now();
  internal::v1::StepResult result = NewResult();
  result.set_step_id(plan.plan.step_id());
  const absl::Status status = RunPlan(plan, &result);
  if (!status.ok()) {
    failed_ = true;
    // Who cancels knows why.
    spdlog::log(
        absl::IsCancelled(status) ? spdlog::level::debug : spdlog::level::err,
        "rank {}: plan {}: {}", options_.rank, plan.plan.step_id(),
        std::string(status.message()));
    EncodeFault(status, communicators_->fault->peer_rank(), &result);
    communicators_->Abort(status);
    on_result_(result);
    return;
  }
  last_step_ = plan.plan.step_id();
  if (!options_.samples) return;
  result.set_digest(digest_);
  result.set_compute_us(std::chrono::duration_cast<std::chrono::microseconds>(
                            Clock::now() - start)
                            .count());
  on_result_(result);
}

absl::Status RankEngine::RunPlan(const ReceivedPlan& received,
                                 internal::v1::StepResult* result) {
  ASSIGN_OR_RETURN(PlannedStep planned, builder_.Build(received.plan));
  RETURN_IF_ERROR(ledger_.Prepare(&planned));
  const StepView& view = backend_->BeginStep(planned.step);
  ASSIGN_OR_RETURN(const std::vector<SampledRow> sampled,
                   RunStep(view, planned.step.step_id));
  ChainDigestOf(received, view);
  if (!options_.samples) return absl::OkStatus();
  if (!planned.drawn_slots.empty())
    Publish(planned.step.step_id, view.logits_rows, sampled);
  EncodeRows(view.logits_rows, sampled, result);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SampledRow>> RankEngine::RunStep(
    const StepView& view, uint64_t step_id) {
  std::vector<SampledRow> sampled;
  if (view.num_tokens > 0) sampled = decoder_->RunStep(view);
  RETURN_IF_ERROR(backend_->Finish(step_id));
  RETURN_IF_ERROR(communicators_->status());
  return sampled;
}

void RankEngine::ChainDigestOf(const ReceivedPlan& received,
                               const StepView& view) {
  digest_ = ChainDigest(digest_, std::as_bytes(std::span(received.bytes)));
  if (!options_.first_stage) return;
  // Little-endian, as all machines that we run on store them.
  digest_ = ChainDigest(
      digest_, std::as_bytes(std::span(view.token_ids,
                                       static_cast<size_t>(view.num_tokens))));
}

void RankEngine::Publish(uint64_t step_id, std::span<const LogitsRow> rows,
                         std::span<const SampledRow> sampled) {
  Samples samples{.step_id = step_id};
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].draw) continue;
    // A row that is not finite has ended its request; a plan in flight may
    // still continue it, with any id.
    samples.token_ids.push_back(sampled[i].not_finite ? 0
                                                      : sampled[i].token_id);
    samples.counts.push_back(1);
  }
  communicators_->ids->Publish(samples);
}

void RankEngine::EchoIfDue(bool idle) {
  const uint64_t step = last_step_;
  if (options_.samples || step == echoed_step_) return;
  const Clock::time_point now = Clock::now();
  if (!idle && step - echoed_step_ < kEchoSteps &&
      now - last_echo_ < kEchoInterval)
    return;
  internal::v1::StepResult result = NewResult();
  result.set_step_id(step);
  result.set_digest(digest_);
  on_result_(result);
  echoed_step_ = step;
  last_echo_ = now;
}

internal::v1::StepResult RankEngine::NewResult() const {
  internal::v1::StepResult result;
  result.set_epoch(options_.limits.epoch);
  result.set_rank(static_cast<uint32_t>(options_.rank));
  return result;
}

absl::Status RankEngine::RunWarmup() {
  // The slot's first real tenant starts empty, so nothing of this stays.
  Step step;
  step.chunks.push_back({.slot = 0,
                         .new_tenant = true,
                         .token_ids = {0},
                         .new_blocks = {0},
                         .sampling = SamplingSetup{.temperature = 0},
                         .logits_wanted = LogitsWanted::kLast,
                         .draw = true});
  const StepView& view = backend_->BeginStep(step);
  RETURN_IF_ERROR(RunStep(view, 0).status());
  return CompareResiduals(view.num_tokens);
}

absl::Status RankEngine::CompareResiduals(int num_tokens) {
  const MatrixView residual = buffers_->residual.top(num_tokens);
  const size_t count = static_cast<size_t>(num_tokens) * residual.cols;
  const uint64_t mine =
      ChainDigest(0, std::as_bytes(std::span(residual.row<float>(0), count)));
  TensorGroup& group = *communicators_->tensor_group;
  std::vector<uint64_t> all(group.size());
  const std::vector<size_t> sizes(group.size(), sizeof(mine));
  group.AllGather(std::as_bytes(std::span(&mine, 1)), sizes,
                  std::as_writable_bytes(std::span(all)));
  RETURN_IF_ERROR(communicators_->status());
  for (int r = 0; r < group.size(); ++r)
    if (all[r] != mine)
      return absl::InternalError(
          absl::StrCat("warm-up: tensor ranks ", group.rank(), " and ", r,
                       " of a stage computed different residuals"));
  return absl::OkStatus();
}

}  // namespace quatrain
