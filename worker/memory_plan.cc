#include "worker/memory_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/byte_size.h"
#include "kernels/record_size.h"
#include "worker/activation_buffers.h"

namespace quatrain {
namespace {

constexpr int64_t kMiB = 1 << 20;

// Beyond what the process holds when it plans: streams and their buffers, the
// tables of plans and results, and what packing needs for a moment.
constexpr int64_t kProcessAllowance = 12 * kMiB;
constexpr int64_t kStackAllowance = 128 << 10;  // touched, per thread

int64_t SlotTableBytes(const EngineSettings& settings) {
  const int64_t entries =
      int64_t{settings.max_num_seqs} * settings.max_blocks();
  return 2 * entries * static_cast<int64_t>(sizeof(int32_t));
}

int64_t RuntimeBytes(const ModelConfig& config, const RankShard& shard,
                     const EngineSettings& settings) {
  const ActivationShape shape =
      ActivationShape::Of(config, shard, settings.max_num_batched_tokens);
  return shape.bytes() + SlotTableBytes(settings) +
         ScratchBytes(settings.max_num_batched_tokens, shape.max_width(),
                      settings.num_threads());
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
  const int64_t runtime = RuntimeBytes(config, sources.shard, settings);
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
