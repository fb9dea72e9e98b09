#include "coordinator/plan_encoder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "quatrain/internal/v1/step.pb.h"

namespace quatrain {
namespace {

namespace pb = internal::v1;

void Encode(const PlannedSampling& sampling, pb::SamplingSetup* out) {
  out->set_temperature(sampling.temperature);
  out->set_top_k(sampling.top_k);
  out->set_top_p(sampling.top_p);
  out->set_seed(sampling.seed);
  out->set_logprobs(sampling.logprobs);
  out->set_top_logprobs(sampling.top_logprobs);
}

void EncodeLogitsWanted(const PlannedChunk& chunk, pb::LogitsWanted* out) {
  if (chunk.num_scored == 0) {
    out->set_rows(chunk.draw ? pb::LogitsWanted::ROWS_LAST
                             : pb::LogitsWanted::ROWS_NONE);
    return;
  }
  out->set_rows(pb::LogitsWanted::ROWS_ALL);
  out->set_draw(chunk.draw);
  out->set_prompt_top_logprobs(chunk.prompt_top_logprobs);
  if (chunk.next_prompt_token >= 0)
    out->set_next_prompt_token(chunk.next_prompt_token);
}

void Encode(const PlannedChunk& chunk, pb::Chunk* out) {
  out->set_slot(chunk.slot);
  out->set_generation(chunk.generation);
  if (chunk.is_continue()) {
    out->mutable_continue_()->set_sampled_by(chunk.sampled_by);
  } else {
    pb::Prefill* prefill = out->mutable_prefill();
    prefill->mutable_token_ids()->Add(chunk.token_ids.begin(),
                                      chunk.token_ids.end());
    prefill->set_start(chunk.start);
  }
  if (!chunk.new_blocks.empty()) {
    out->add_new_blocks()->mutable_block_ids()->Add(chunk.new_blocks.begin(),
                                                    chunk.new_blocks.end());
  }
  if (chunk.sampling) Encode(*chunk.sampling, out->mutable_sampling());
  EncodeLogitsWanted(chunk, out->mutable_logits_wanted());
}

Logprob Decode(const pb::Logprob& logprob) {
  return {.token_id = static_cast<int32_t>(logprob.token_id()),
          .logprob = logprob.logprob(),
          .rank = logprob.rank()};
}

StepOutcome::Row Decode(const pb::Row& row) {
  StepOutcome::Row out = {.chunk_index = static_cast<int>(row.chunk_index()),
                          .scored = row.scored(),
                          .not_finite = row.not_finite(),
                          .position = static_cast<int>(row.position())};
  if (row.token_ids_size() > 0) out.token_id = row.token_ids(0);
  if (row.has_logprob()) out.logprob = Decode(row.logprob());
  for (const pb::Logprob& logprob : row.top_logprobs())
    out.top_logprobs.push_back(Decode(logprob));
  return out;
}

// What is wrong with the row that should be the chunk's, if anything is.
std::string Complaint(const StepOutcome& outcome, size_t index, int chunk_index,
                      bool scored) {
  const auto expected = [&] {
    return absl::StrCat(", expected a ", scored ? "scored" : "drawn",
                        " row of chunk ", chunk_index);
  };
  if (index >= outcome.rows.size()) return absl::StrCat("ends", expected());
  const StepOutcome::Row& row = outcome.rows[index];
  if (row.chunk_index != chunk_index || row.scored != scored) {
    return absl::StrCat("is ", row.scored ? "scored" : "drawn", " of chunk ",
                        row.chunk_index, expected());
  }
  if (row.token_id < 0 && !row.not_finite) return "has no token id";
  return "";
}

}  // namespace

std::string EncodePlan(const StepPlan& plan, uint64_t epoch) {
  pb::StepPlan message;
  message.set_epoch(epoch);
  message.set_step_id(plan.step_id);
  message.set_micro_batch(plan.micro_batch);
  message.mutable_released_slots()->Add(plan.released_slots.begin(),
                                        plan.released_slots.end());
  for (const PlannedChunk& chunk : plan.chunks)
    Encode(chunk, message.add_chunks());
  return message.SerializeAsString();
}

absl::StatusOr<StepOutcome> DecodeOutcome(const std::string& bytes) {
  pb::StepResult message;
  if (!message.ParseFromString(bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "step result: ", bytes.size(), " bytes that are no StepResult"));
  }
  StepOutcome outcome = {.epoch = message.epoch(),
                         .step_id = message.step_id(),
                         .rank = static_cast<int>(message.rank()),
                         .digest = message.digest(),
                         .compute_time = absl::Microseconds(
                             static_cast<int64_t>(message.compute_us()))};
  for (const pb::Row& row : message.rows()) outcome.rows.push_back(Decode(row));
  if (message.has_fault()) {
    const auto code = static_cast<absl::StatusCode>(message.fault().code());
    outcome.fault = {
        .status = absl::Status(
            code == absl::StatusCode::kOk ? absl::StatusCode::kInternal : code,
            message.fault().message()),
        .peer_rank = message.fault().peer_rank()};
  }
  return outcome;
}

absl::Status CheckRows(const StepPlan& plan, const StepOutcome& outcome) {
  size_t next = 0;
  const auto check = [&](int chunk_index, bool scored) {
    const std::string complaint = Complaint(outcome, next, chunk_index, scored);
    if (complaint.empty()) return ++next, absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("step ", plan.step_id, ": row ", next, " ", complaint));
  };
  for (size_t c = 0; c < plan.chunks.size(); ++c) {
    for (int i = 0; i < plan.chunks[c].num_scored; ++i)
      if (absl::Status status = check(c, true); !status.ok()) return status;
    if (!plan.chunks[c].draw) continue;
    if (absl::Status status = check(c, false); !status.ok()) return status;
  }
  if (next == outcome.rows.size()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("step ", plan.step_id, ": ",
                                          outcome.rows.size(),
                                          " rows, expected ", next));
}

}  // namespace quatrain
