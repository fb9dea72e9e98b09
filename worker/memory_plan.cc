#include "worker/memory_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/byte_size.h"
#include "kernels/record_size.h"
#include "kernels/step.h"
#include "quatrain/internal/v1/step.pb.h"
#include "worker/activation_buffers.h"

namespace quatrain {
namespace {

constexpr int64_t kMiB = 1 << 20;

// Beyond what the process holds when it plans: streams and their buffers, and
// what the C library keeps of what was freed.
constexpr int64_t kProcessAllowance = 12 * kMiB;
constexpr int64_t kStackAllowance = 128 << 10;  // touched, per thread

int64_t SlotTableBytes(const EngineSettings& settings) {
  const int64_t entries =
      int64_t{settings.max_num_seqs} * settings.max_blocks();
  return 2 * entries * static_cast<int64_t>(sizeof(int32_t));
}

// A step's flat arrays, and the plans that wait: message, bytes and delta.
int64_t StepBytes(const EngineSettings& settings) {
  constexpr int64_t kFlat = 2 * (2 * sizeof(int32_t) + sizeof(int64_t));
  constexpr int64_t kRow = 2 * sizeof(LogitsRow);
  constexpr int64_t kPlanned = 4 * sizeof(int32_t);
  return settings.max_num_batched_tokens *
         (kFlat + kRow + (settings.plans_in_flight + 1) * kPlanned);
}

// What a step's results hold where every token is scored with all the best: as
// sampled on every rank of the last stage, and on the first of them as messages
// and as bytes, three times on their way out.
int64_t ResultBytes(const RankShard& shard, int max_tokens) {
  constexpr int64_t kPointer = 8, kHeader = 16;  // of an allocation
  constexpr int64_t kLogprobs = kMaxTopLogprobs + 1;
  constexpr int64_t kSampled =
      sizeof(SampledRow) + 32 * sizeof(TokenLogprob) + kHeader;
  constexpr int64_t kMessages =
      sizeof(internal::v1::Row) +
      kLogprobs * (sizeof(internal::v1::Logprob) + kPointer + kHeader);
  constexpr int64_t kEncoded = 32 + kLogprobs * 18;
  const int64_t per_row =
      kSampled + (shard.tp_rank == 0 ? kMessages + 3 * kEncoded : 0);
  return max_tokens * per_row;
}

int64_t PackBytes(const LinearSources& linear, int threads) {
  int64_t most = 0;
  for (const LinearSlice& part : linear.parts) {
    if (part.num_rows() == 0) continue;
    most = std::max(
        most, part.is_int4()
                  ? Int4PackBytes(threads)
                  : DensePackBytes(part.num_cols(), part.dtype(), threads));
  }
  return most;
}

// Of the largest linear: they are packed one after the other.
int64_t PackBytes(const ShardSources& sources, int threads) {
  int64_t most = 0;
  for (const LayerSources& layer : sources.layers)
    for (const LinearSources* linear :
         {&layer.qkv, &layer.o, &layer.gate_up, &layer.down})
      most = std::max(most, PackBytes(*linear, threads));
  for (const auto* tables : {&sources.embedding, &sources.head})
    for (const LinearSources& linear : *tables)
      if (linear.role != LinearRole::kEmbed)
        most = std::max(most, PackBytes(linear, threads));
  return most;
}

// What the backend's operations hold while they run, or while it packs.
int64_t BackendBytes(const ModelConfig& config, const ShardSources& sources,
                     const EngineSettings& settings,
                     const ActivationShape& shape) {
  const int tokens = settings.max_num_batched_tokens;
  const int threads = settings.num_threads();
  if (settings.backend == "reference")
    return ReferenceScratchBytes({.max_tokens = tokens,
                                  .hidden_size = config.hidden_size,
                                  .max_width = shape.max_width(),
                                  .max_context = settings.max_model_len,
                                  .head_dim = config.head_dim});
  return ScratchBytes(tokens, shape.widths(), threads) +
         PackBytes(sources, threads);
}

int64_t LastStageBytes(const ModelConfig& config, const RankShard& shard,
                       const EngineSettings& settings) {
  if (!shard.last_stage) return 0;
  const int tokens = settings.max_num_batched_tokens;
  const Stage& stage = settings.layout.stages.back();
  return ResultBytes(shard, tokens) +
         SampleBytes({.rows = std::min(tokens, kLogitsTileRows),
                      .ids = shard.lm_head.size(),
                      .vocab_size = config.vocab_size,
                      .group_size = stage.tp_size(),
                      .threads = settings.num_threads()});
}

int64_t RuntimeBytes(const ModelConfig& config, const ShardSources& sources,
                     const EngineSettings& settings) {
  const ActivationShape shape = ActivationShape::Of(
      config, sources.shard, settings.max_num_batched_tokens);
  return shape.bytes() + SlotTableBytes(settings) + StepBytes(settings) +
         BackendBytes(config, sources, settings, shape) +
         LastStageBytes(config, sources.shard, settings);
}

std::string Name(const MemoryPlan& plan) {
  return absl::StrCat("rank ", plan.rank, " (", plan.device, ")");
}

std::string TermsText(const MemoryPlan& plan) {
  std::string text;
  for (const MemoryPlan::Term& term : plan.terms)
    absl::StrAppend(&text, "  ", term.name, " ", FormatByteSize(term.bytes));
  return text;
}

}  // namespace

int64_t MemoryPlan::fixed_bytes() const {
  int64_t bytes = 0;
  for (const Term& term : terms) bytes += term.bytes;
  return bytes;
}

int64_t MemoryPlan::kv_bytes_per_block() const {
  return KvCacheBytes(kv, 1, block_size);
}

int64_t MemoryPlan::num_blocks() const {
  const int64_t room = limit_bytes - fixed_bytes();
  const int64_t per_block = kv_bytes_per_block();
  // A rank without KV heads holds any number; the bound keeps ids in 31 bits.
  constexpr int64_t kMost = int64_t{1} << 24;
  if (per_block == 0) return room >= 0 ? kMost : -1;
  if (room < 0) return -((-room + per_block - 1) / per_block);
  int64_t blocks = std::min(room / per_block, kMost);
  while (blocks > 0 && KvCacheBytes(kv, blocks, block_size) > room) --blocks;
  return blocks;
}

int64_t MemoryPlan::min_blocks() const {
  return (max_model_len + block_size - 1) / block_size;
}

int64_t MemoryPlan::device_bytes() const {
  if (limit_bytes == 0) return 0;
  int64_t elsewhere = 0;
  for (const Term& term : terms)
    if (term.name == "process" || term.name == "comm") elsewhere += term.bytes;
  return limit_bytes - elsewhere;
}

std::string MemoryPlan::Row() const {
  return absl::StrCat(Name(*this), "  limit ", FormatByteSize(limit_bytes),
                      TermsText(*this), "  kv ", num_blocks(), " blocks of ",
                      FormatByteSize(kv_bytes_per_block()), " = ",
                      num_blocks() * block_size, " tokens");
}

std::string MemoryPlan::Refusal() const {
  const int64_t kv_bytes = KvCacheBytes(kv, min_blocks(), block_size);
  const int64_t needs = fixed_bytes() + kv_bytes;
  return absl::StrCat("does not fit: ", Name(*this), " needs ",
                      FormatByteSize(needs), ", limit ",
                      FormatByteSize(limit_bytes), ", short by ",
                      FormatByteSize(std::max<int64_t>(0, needs - limit_bytes)),
                      ":", TermsText(*this), "  kv ", FormatByteSize(kv_bytes),
                      " (minimum: 1 x ", max_model_len, " tokens)");
}

MemoryPlan PlanMemory(const ModelConfig& config, const ShardSources& sources,
                      const EngineSettings& settings,
                      const MemoryPlanInputs& inputs) {
  MemoryPlan plan;
  plan.rank = inputs.rank;
  plan.device = inputs.device;
  plan.limit_bytes = inputs.limit_bytes;
  plan.kv = KvSpecsOf(config, sources.shard, settings.kv_dtype);
  plan.block_size = settings.block_size;
  plan.max_model_len = settings.max_model_len;
  const int64_t process = inputs.process_bytes + kProcessAllowance +
                          settings.num_threads() * kStackAllowance;
  const int64_t weights = sources.packed_bytes(settings.backend == "reference"
                                                   ? RecordKind::kReference
                                                   : RecordKind::kCpu);
  const int64_t runtime = RuntimeBytes(config, sources, settings);
  // One per cent of what is counted, and the rounding of each kind to pages.
  const int64_t slack =
      (process + weights + runtime + inputs.comm_bytes) / 100 + 2 * kMiB;
  plan.terms = {{"process", process},
                {"weights", weights},
                {"runtime", runtime},
                {"comm", inputs.comm_bytes},
                {"slack", slack}};
  return plan;
}

}  // namespace quatrain
