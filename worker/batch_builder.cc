#include "worker/batch_builder.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

using internal::v1::Chunk;
using internal::v1::StepPlan;

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status Reserved(const char* what) {
  return absl::UnimplementedError(
      absl::StrCat("plan: ", what, " is reserved and does not work yet"));
}

// The places that the protocol keeps for later.
absl::Status CheckReserved(const Chunk& chunk) {
  if (chunk.work_case() == Chunk::kVerify) return Reserved("verify");
  if (chunk.await_update()) return Reserved("await_update");
  if (chunk.has_update()) return Reserved("update");
  if (chunk.sampling().prompt_token_ids_size() > 0)
    return Reserved("sampling.prompt_token_ids");
  if (chunk.sampling().output_token_ids_size() > 0)
    return Reserved("sampling.output_token_ids");
  for (const internal::v1::BlockDelta& delta : chunk.new_blocks())
    if (delta.kv_group() != 0) return Reserved("a kv_group other than 0");
  return absl::OkStatus();
}

absl::StatusOr<LogitsWanted> RowsOf(const internal::v1::LogitsWanted& wanted) {
  switch (wanted.rows()) {
    case internal::v1::LogitsWanted::ROWS_NONE:
      return LogitsWanted::kNone;
    case internal::v1::LogitsWanted::ROWS_LAST:
      return LogitsWanted::kLast;
    case internal::v1::LogitsWanted::ROWS_ALL:
      return LogitsWanted::kAll;
    default:
      return Invalid("plan: logits_wanted.rows is ",
                     static_cast<int>(wanted.rows()),
                     ", expected ROWS_NONE, ROWS_LAST or ROWS_ALL");
  }
}

absl::Status CheckSampling(const internal::v1::SamplingSetup& setup) {
  const float t = setup.temperature();
  if (!(t == 0 || (t >= 0.01f && t <= 100)))
    return Invalid("plan: temperature is ", t, ", expected 0 or 0.01..100");
  if (!(setup.top_p() > 0 && setup.top_p() <= 1))
    return Invalid("plan: top_p is ", setup.top_p(), ", expected (0, 1]");
  if (setup.top_k() > INT32_MAX)
    return Invalid("plan: top_k is ", setup.top_k());
  if (setup.top_logprobs() > kMaxTopLogprobs)
    return Invalid("plan: top_logprobs is ", setup.top_logprobs(),
                   ", expected 0..", kMaxTopLogprobs);
  return absl::OkStatus();
}

SamplingSetup ToSampling(const internal::v1::SamplingSetup& setup) {
  return {.temperature = setup.temperature(),
          .top_k = static_cast<int>(setup.top_k()),
          .top_p = setup.top_p(),
          .seed = setup.seed(),
          .choice = setup.choice(),
          .logprobs = setup.logprobs(),
          .top_logprobs = static_cast<int>(setup.top_logprobs())};
}

void EncodeLogprob(const TokenLogprob& from, internal::v1::Logprob* to) {
  to->set_token_id(static_cast<uint32_t>(from.token_id));
  to->set_logprob(from.logprob);
  to->set_rank(from.rank);
}

}  // namespace

absl::StatusOr<ReceivedPlan> ParsePlan(std::string bytes) {
  ReceivedPlan received;
  if (!received.plan.ParseFromString(bytes))
    return Invalid("a message of ", bytes.size(), " bytes is no StepPlan");
  received.bytes = std::move(bytes);
  return received;
}

BatchBuilder::BatchBuilder(const PlanLimits& limits)
    : limits_(limits), slots_(limits.num_slots) {}

absl::StatusOr<PlannedStep> BatchBuilder::Build(const StepPlan& plan) {
  RETURN_IF_ERROR(CheckHeader(plan));
  step_id_ = plan.step_id();
  PlannedStep planned;
  planned.step.step_id = step_id_;
  RETURN_IF_ERROR(Release(plan, &planned));
  for (const Chunk& chunk : plan.chunks())
    RETURN_IF_ERROR(AddChunk(chunk, &planned));
  if (planned.num_tokens > limits_.max_tokens)
    return Invalid("plan ", step_id_, ": ", planned.num_tokens,
                   " tokens, expected at most ", limits_.max_tokens);
  return planned;
}

absl::Status BatchBuilder::CheckHeader(const StepPlan& plan) const {
  if (plan.epoch() != limits_.epoch)
    return absl::FailedPreconditionError(
        absl::StrCat("plan ", plan.step_id(), ": epoch ", plan.epoch(),
                     ", this rank is in epoch ", limits_.epoch));
  if (plan.step_id() != step_id_ + 1)
    return Invalid("plan ", plan.step_id(), " follows plan ", step_id_);
  if (plan.micro_batch() >= static_cast<uint32_t>(limits_.num_micro_batches))
    return Invalid("plan ", plan.step_id(), ": micro_batch ",
                   plan.micro_batch(), ", expected less than ",
                   limits_.num_micro_batches);
  return absl::OkStatus();
}

absl::Status BatchBuilder::Release(const StepPlan& plan, PlannedStep* out) {
  for (const uint32_t id : plan.released_slots()) {
    if (id >= slots_.size() || !slots_[id].in_use)
      return Invalid("plan ", step_id_, ": releases slot ", id,
                     ", which is not in use");
    slots_[id] = Slot{.generation = slots_[id].generation};
    out->step.released_slots.push_back(static_cast<int>(id));
  }
  return absl::OkStatus();
}

absl::Status BatchBuilder::AddChunk(const Chunk& chunk, PlannedStep* out) {
  RETURN_IF_ERROR(CheckReserved(chunk));
  ChunkDelta delta;
  ASSIGN_OR_RETURN(Slot * slot, TenantOf(chunk, &delta));
  RETURN_IF_ERROR(AddBlocks(chunk, slot, &delta));
  RETURN_IF_ERROR(AddSampling(chunk, slot, &delta));
  if (chunk.work_case() == Chunk::kPrefill) {
    RETURN_IF_ERROR(AddPrefill(chunk, slot, &delta));
    out->num_tokens += static_cast<int>(delta.token_ids.size());
  } else if (chunk.work_case() == Chunk::kContinue) {
    RETURN_IF_ERROR(AddContinue(chunk, slot, out));
    out->num_tokens += 1;
  } else {
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(), " has no work");
  }
  const int room = slot->num_blocks * limits_.block_size;
  if (slot->length > room || slot->length > limits_.max_context)
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(), " reaches ",
                   slot->length, " tokens, its blocks hold ", room,
                   " and a sequence at most ", limits_.max_context);
  RETURN_IF_ERROR(AddLogits(chunk, slot, &delta, out));
  out->step.chunks.push_back(std::move(delta));
  return absl::OkStatus();
}

absl::StatusOr<BatchBuilder::Slot*> BatchBuilder::TenantOf(const Chunk& chunk,
                                                           ChunkDelta* delta) {
  if (chunk.slot() >= slots_.size())
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(),
                   ", expected less than ", slots_.size());
  Slot* slot = &slots_[chunk.slot()];
  delta->slot = static_cast<int>(chunk.slot());
  if (slot->in_use && slot->last_plan == step_id_)
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(),
                   " has two chunks");
  const bool same = int64_t{chunk.generation()} == slot->generation;
  if (int64_t{chunk.generation()} < slot->generation || same != slot->in_use)
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(), " generation ",
                   chunk.generation(), ", expected ",
                   slot->in_use ? "" : "more than ", slot->generation);
  if (!slot->in_use) {
    *slot = Slot{.generation = chunk.generation(), .in_use = true};
    delta->new_tenant = true;
  }
  slot->last_plan = step_id_;
  return slot;
}

absl::Status BatchBuilder::AddBlocks(const Chunk& chunk, Slot* slot,
                                     ChunkDelta* delta) const {
  for (const internal::v1::BlockDelta& blocks : chunk.new_blocks()) {
    for (const uint32_t id : blocks.block_ids()) {
      if (id >= static_cast<uint32_t>(limits_.num_blocks))
        return Invalid("plan ", step_id_, ": block ", id,
                       ", expected less than ", limits_.num_blocks);
      delta->new_blocks.push_back(static_cast<int32_t>(id));
    }
  }
  slot->num_blocks += static_cast<int>(delta->new_blocks.size());
  const int most =
      (limits_.max_context + limits_.block_size - 1) / limits_.block_size;
  if (slot->num_blocks > most)
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(), " has ",
                   slot->num_blocks, " blocks, expected at most ", most);
  return absl::OkStatus();
}

absl::Status BatchBuilder::AddSampling(const Chunk& chunk, Slot* slot,
                                       ChunkDelta* delta) const {
  if (!chunk.has_sampling()) return absl::OkStatus();
  if (!delta->new_tenant)
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(),
                   " has sampling, expected with its first chunk only");
  RETURN_IF_ERROR(CheckSampling(chunk.sampling()));
  delta->sampling = ToSampling(chunk.sampling());
  slot->has_sampling = true;
  return absl::OkStatus();
}

absl::Status BatchBuilder::AddPrefill(const Chunk& chunk, Slot* slot,
                                      ChunkDelta* delta) const {
  const internal::v1::Prefill& prefill = chunk.prefill();
  if (prefill.token_ids().empty())
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(),
                   " prefills no token");
  // A new tenant may start behind blocks that another sequence filled.
  const uint64_t room = uint64_t(slot->num_blocks) * limits_.block_size;
  const bool fits = delta->new_tenant
                        ? prefill.start() < room
                        : int64_t{prefill.start()} == slot->length;
  if (!fits)
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(),
                   " prefills from ", prefill.start(), ", expected ",
                   delta->new_tenant ? "within its blocks: less than " : "",
                   delta->new_tenant ? room : slot->length);
  for (const uint32_t id : prefill.token_ids()) {
    if (id >= static_cast<uint32_t>(limits_.vocab_size))
      return Invalid("plan ", step_id_, ": token id ", id,
                     ", expected less than ", limits_.vocab_size);
    delta->token_ids.push_back(static_cast<int32_t>(id));
  }
  delta->start = static_cast<int>(prefill.start());
  slot->length = delta->start + static_cast<int>(delta->token_ids.size());
  return absl::OkStatus();
}

absl::Status BatchBuilder::AddContinue(const Chunk& chunk, Slot* slot,
                                       PlannedStep* out) const {
  const uint64_t sampled_by = chunk.continue_().sampled_by();
  if (slot->last_draw == 0 || sampled_by != slot->last_draw)
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(),
                   " continues what plan ", sampled_by,
                   " sampled, but the plan that sampled it last is ",
                   slot->last_draw);
  out->continued.push_back({static_cast<int>(chunk.slot()), sampled_by});
  slot->length += 1;
  return absl::OkStatus();
}

absl::Status BatchBuilder::AddLogits(const Chunk& chunk, Slot* slot,
                                     ChunkDelta* delta,
                                     PlannedStep* out) const {
  const internal::v1::LogitsWanted& wanted = chunk.logits_wanted();
  ASSIGN_OR_RETURN(delta->logits_wanted, RowsOf(wanted));
  const bool all = delta->logits_wanted == LogitsWanted::kAll;
  delta->draw =
      delta->logits_wanted == LogitsWanted::kLast || (all && wanted.draw());
  if (all && chunk.work_case() != Chunk::kPrefill)
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(),
                   " wants ROWS_ALL of a chunk that is no prefill");
  if (wanted.prompt_top_logprobs() > kMaxTopLogprobs)
    return Invalid("plan: prompt_top_logprobs is ",
                   wanted.prompt_top_logprobs(), ", expected 0..",
                   kMaxTopLogprobs);
  delta->prompt_top_logprobs = static_cast<int>(wanted.prompt_top_logprobs());
  if (all && wanted.has_next_prompt_token()) {
    if (wanted.draw())
      return Invalid("plan ", step_id_, ": slot ", chunk.slot(),
                     " draws where its prompt goes on");
    if (wanted.next_prompt_token() >= static_cast<uint32_t>(limits_.vocab_size))
      return Invalid("plan ", step_id_, ": next_prompt_token ",
                     wanted.next_prompt_token(), ", expected less than ",
                     limits_.vocab_size);
    delta->next_prompt_token = static_cast<int32_t>(wanted.next_prompt_token());
  }
  if (!delta->draw) return absl::OkStatus();
  if (!slot->has_sampling)
    return Invalid("plan ", step_id_, ": slot ", chunk.slot(),
                   " draws without a sampling setup");
  slot->last_draw = step_id_;
  out->drawn_slots.push_back(static_cast<int>(chunk.slot()));
  return absl::OkStatus();
}

void EncodeRows(std::span<const LogitsRow> rows,
                std::span<const SampledRow> sampled,
                internal::v1::StepResult* result) {
  for (size_t i = 0; i < rows.size(); ++i) {
    internal::v1::Row* row = result->add_rows();
    row->set_chunk_index(static_cast<uint32_t>(rows[i].chunk_index));
    row->set_scored(!rows[i].draw);
    row->set_not_finite(sampled[i].not_finite);
    row->set_position(static_cast<uint32_t>(rows[i].position + 1));
    if (sampled[i].not_finite) continue;
    row->add_token_ids(static_cast<uint32_t>(sampled[i].token_id));
    if (sampled[i].logprob)
      EncodeLogprob(*sampled[i].logprob, row->mutable_logprob());
    for (const TokenLogprob& top : sampled[i].top_logprobs)
      EncodeLogprob(top, row->add_top_logprobs());
  }
}

void EncodeFault(const absl::Status& status, int peer_rank,
                 internal::v1::StepResult* result) {
  internal::v1::Fault* fault = result->mutable_fault();
  fault->set_code(static_cast<uint32_t>(status.code()));
  fault->set_message(std::string(status.message()));
  fault->set_peer_rank(peer_rank);
}

}  // namespace quatrain
