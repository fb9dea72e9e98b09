#include "worker/local_driver.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

// How far the planning of one request is.
struct Progress {
  const LocalRequest* request = nullptr;
  int slot = 0;
  uint32_t first_block = 0;
  uint32_t num_blocks = 0;
  int prefilled = 0;       // tokens of the prompt in plans
  int drawn = 0;           // draws in plans
  uint64_t last_draw = 0;  // plan of the last of them

  bool prefilling() const {
    return prefilled < static_cast<int>(request->prompt.size());
  }
  bool done() const { return !prefilling() && drawn >= request->num_tokens; }
};

TokenLogprob DecodeLogprob(const internal::v1::Logprob& from) {
  return {static_cast<int32_t>(from.token_id()), from.logprob(), from.rank()};
}

void SetSampling(const SamplingSetup& from, internal::v1::SamplingSetup* to) {
  to->set_temperature(from.temperature);
  to->set_top_k(static_cast<uint32_t>(from.top_k));
  to->set_top_p(from.top_p);
  to->set_seed(from.seed);
  to->set_choice(from.choice);
  to->set_logprobs(from.logprobs);
  to->set_top_logprobs(static_cast<uint32_t>(from.top_logprobs));
}

class LocalDriver {
 public:
  LocalDriver(LocalGroup& group, std::span<const LocalRequest> requests,
              const LocalDriverOptions& options)
      : group_(group),
        options_(options),
        micro_batches_(group.settings().num_micro_batches),
        outputs_(requests.size()) {
    for (const LocalRequest& request : requests) {
      Progress progress{.request = &request};
      progress.slot = static_cast<int>(progress_.size());
      progress_.push_back(progress);
    }
    if (options_.plans_in_flight == 0)
      options_.plans_in_flight = micro_batches_ + 1;
  }

  absl::StatusOr<std::vector<LocalOutput>> Run() {
    RETURN_IF_ERROR(AssignBlocks());
    for (int micro_batch = 0; !AllPlanned();
         micro_batch = (micro_batch + 1) % micro_batches_) {
      RETURN_IF_ERROR(SubmitStep(micro_batch));
      if (static_cast<int>(in_flight_.size()) >= options_.plans_in_flight)
        RETURN_IF_ERROR(TakeResult());
    }
    RETURN_IF_ERROR(ReleaseSlots());
    while (!in_flight_.empty()) RETURN_IF_ERROR(TakeResult());
    return std::move(outputs_);
  }

 private:
  // The slot of each chunk of a plan.
  using SentPlan = std::vector<int>;

  absl::Status AssignBlocks() {
    const EngineSettings& settings = group_.settings();
    uint32_t next = 0;
    for (Progress& p : progress_) {
      const int tokens =
          static_cast<int>(p.request->prompt.size()) + p.request->num_tokens;
      if (p.request->prompt.empty() || tokens > settings.max_model_len)
        return absl::InvalidArgumentError(absl::StrCat(
            "a request of ", tokens, " tokens, expected 1..",
            settings.max_model_len, " and at least one of them a prompt's"));
      p.first_block = next;
      p.num_blocks = static_cast<uint32_t>((tokens + settings.block_size - 1) /
                                           settings.block_size);
      next += p.num_blocks;
    }
    if (next > static_cast<uint32_t>(group_.num_blocks()) ||
        progress_.size() > static_cast<size_t>(settings.max_num_seqs))
      return absl::InvalidArgumentError(
          absl::StrCat(progress_.size(), " requests of ", next,
                       " blocks, the group has ", settings.max_num_seqs,
                       " slots and ", group_.num_blocks(), " blocks"));
    return absl::OkStatus();
  }

  bool AnyPrompt() const {
    return std::any_of(progress_.begin(), progress_.end(),
                       [](const Progress& p) { return p.prefilling(); });
  }

  bool AllPlanned() const {
    return std::all_of(progress_.begin(), progress_.end(),
                       [](const Progress& p) { return p.done(); });
  }

  absl::Status SubmitStep(int micro_batch) {
    internal::v1::StepPlan plan;
    plan.set_micro_batch(static_cast<uint32_t>(micro_batch));
    int room = group_.settings().max_num_batched_tokens;
    SentPlan sent;
    std::vector<Progress*> drawing;
    const bool only_prompts = options_.prefill_first && AnyPrompt();
    for (Progress& p : progress_) {
      if (p.slot % micro_batches_ != micro_batch || p.done() || room == 0 ||
          (only_prompts && !p.prefilling()))
        continue;
      internal::v1::Chunk* chunk = plan.add_chunks();
      if (AddWork(p, &room, chunk)) drawing.push_back(&p);
      sent.push_back(p.slot);
    }
    if (sent.empty()) return absl::OkStatus();
    return Send(plan, std::move(sent), drawing);
  }

  absl::Status Send(const internal::v1::StepPlan& plan, SentPlan sent,
                    const std::vector<Progress*>& drawing) {
    ASSIGN_OR_RETURN(const uint64_t step_id, group_.Submit(plan));
    for (Progress* p : drawing) p->last_draw = step_id;
    in_flight_.push_back(std::move(sent));
    return absl::OkStatus();
  }

  // Whether the chunk draws.
  bool AddWork(Progress& p, int* room, internal::v1::Chunk* chunk) const {
    chunk->set_slot(static_cast<uint32_t>(p.slot));
    chunk->set_generation(generation_);
    const int prompt = static_cast<int>(p.request->prompt.size());
    if (p.prefilled < prompt) return AddPrefill(p, room, chunk);
    chunk->mutable_continue_()->set_sampled_by(p.last_draw);
    chunk->mutable_logits_wanted()->set_rows(
        internal::v1::LogitsWanted::ROWS_LAST);
    p.drawn += 1;
    *room -= 1;
    return true;
  }

  bool AddPrefill(Progress& p, int* room, internal::v1::Chunk* chunk) const {
    if (p.prefilled == 0) {
      internal::v1::BlockDelta* blocks = chunk->add_new_blocks();
      for (uint32_t i = 0; i < p.num_blocks; ++i)
        blocks->add_block_ids(p.first_block + i);
      SetSampling(p.request->sampling, chunk->mutable_sampling());
    }
    const std::vector<int32_t>& prompt = p.request->prompt;
    const int left = static_cast<int>(prompt.size()) - p.prefilled;
    const int count = std::min({options_.chunk_tokens, *room, left});
    internal::v1::Prefill* prefill = chunk->mutable_prefill();
    prefill->set_start(static_cast<uint32_t>(p.prefilled));
    for (int i = 0; i < count; ++i)
      prefill->add_token_ids(static_cast<uint32_t>(prompt[p.prefilled + i]));
    p.prefilled += count;
    *room -= count;
    const bool draw = count == left && p.request->num_tokens > 0;
    SetLogits(p, draw, chunk->mutable_logits_wanted());
    p.drawn += draw;
    return draw;
  }

  static void SetLogits(const Progress& p, bool draw,
                        internal::v1::LogitsWanted* wanted) {
    using Wanted = internal::v1::LogitsWanted;
    if (!p.request->prompt_logprobs) {
      wanted->set_rows(draw ? Wanted::ROWS_LAST : Wanted::ROWS_NONE);
      return;
    }
    wanted->set_rows(Wanted::ROWS_ALL);
    wanted->set_draw(draw);
    wanted->set_prompt_top_logprobs(
        static_cast<uint32_t>(p.request->prompt_top_logprobs));
    if (p.prefilled < static_cast<int>(p.request->prompt.size()))
      wanted->set_next_prompt_token(
          static_cast<uint32_t>(p.request->prompt[p.prefilled]));
  }

  absl::Status ReleaseSlots() {
    internal::v1::StepPlan plan;
    for (const Progress& p : progress_)
      plan.add_released_slots(static_cast<uint32_t>(p.slot));
    return Send(plan, {}, {});
  }

  absl::Status TakeResult() {
    ASSIGN_OR_RETURN(const internal::v1::StepResult result,
                     group_.NextResult());
    const SentPlan sent = std::move(in_flight_.front());
    in_flight_.pop_front();
    for (const internal::v1::Row& row : result.rows()) {
      const int index = sent[row.chunk_index()];
      Commit(row, &outputs_[index]);
      if (options_.on_token && !row.scored()) options_.on_token(index);
    }
    return absl::OkStatus();
  }

  static void Commit(const internal::v1::Row& row, LocalOutput* output) {
    output->not_finite |= row.not_finite();
    if (row.not_finite()) return;
    std::vector<TokenLogprob> top;
    for (const internal::v1::Logprob& logprob : row.top_logprobs())
      top.push_back(DecodeLogprob(logprob));
    auto& logprobs = row.scored() ? output->prompt_logprobs : output->logprobs;
    auto& tops =
        row.scored() ? output->prompt_top_logprobs : output->top_logprobs;
    if (!row.scored())
      output->token_ids.push_back(static_cast<int32_t>(row.token_ids(0)));
    if (row.has_logprob()) {
      logprobs.push_back(DecodeLogprob(row.logprob()));
      tops.push_back(std::move(top));
    }
  }

  LocalGroup& group_;
  LocalDriverOptions options_;
  const int micro_batches_;
  // A run's sequences are new tenants of slots that earlier runs released.
  const uint32_t generation_ = group_.NextGeneration();
  std::vector<Progress> progress_;
  std::deque<SentPlan> in_flight_;
  std::vector<LocalOutput> outputs_;
};

}  // namespace

absl::StatusOr<std::vector<LocalOutput>> RunLocally(
    LocalGroup& group, std::span<const LocalRequest> requests,
    const LocalDriverOptions& options) {
  return LocalDriver(group, requests, options).Run();
}

absl::StatusOr<std::vector<float>> ScoreTokens(LocalGroup& group,
                                               std::span<const int32_t> ids) {
  const LocalRequest request = {.prompt = {ids.begin(), ids.end()},
                                .prompt_logprobs = true};
  ASSIGN_OR_RETURN(const std::vector<LocalOutput> outputs,
                   RunLocally(group, std::span(&request, 1)));
  if (outputs[0].not_finite)
    return absl::InternalError("a row met a value that is not finite");
  std::vector<float> logprobs;
  for (const TokenLogprob& token : outputs[0].prompt_logprobs)
    logprobs.push_back(token.logprob);
  return logprobs;
}

}  // namespace quatrain
