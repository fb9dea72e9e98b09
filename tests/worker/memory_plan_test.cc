#include "worker/memory_plan.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/record_size.h"
#include "tests/worker/local_prompts.h"
#include "worker/batch_builder.h"
#include "worker/rank.h"

namespace quatrain {
namespace {

using testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

MemoryPlan PlanOf(const EngineSettings& settings, int rank, int64_t limit) {
  const auto model = OpenModel(kTales);
  EXPECT_TRUE(model.ok()) << model.status();
  const auto planned = Rank::Plan(
      *model, settings, {.rank = rank, .device = "w/0", .limit_bytes = limit});
  EXPECT_TRUE(planned.ok()) << planned.status();
  return (*planned)->memory_plan();
}

EngineSettings Settings(int tp, int pp) {
  EngineSettings settings = TalesSettings();
  settings.layout = LayoutOf(tp, pp);
  settings.max_model_len = 512;
  return settings;
}

int64_t Term(const MemoryPlan& plan, const std::string& name) {
  for (const MemoryPlan::Term& term : plan.terms)
    if (term.name == name) return term.bytes;
  return -1;
}

TEST(MemoryPlanTest, KvIsWhatTheLimitLeaves) {
  const MemoryPlan plan = PlanOf(Settings(2, 2), 3, 64 * kMiB);
  EXPECT_TRUE(plan.fits());
  const int64_t kv = KvCacheBytes(plan.kv, plan.num_blocks(), plan.block_size);
  EXPECT_LE(plan.fixed_bytes() + kv, plan.limit_bytes);
  EXPECT_GT(plan.fixed_bytes() + kv + plan.kv_bytes_per_block(),
            plan.limit_bytes);
  // 4 layers, one KV head of 64 in f16, 16 tokens a block.
  EXPECT_EQ(plan.kv_bytes_per_block(), 4 * 2 * 64 * 2 * 16);
}

TEST(MemoryPlanTest, RefusesWithTheNumbersPerTerm) {
  const MemoryPlan plan = PlanOf(Settings(1, 1), 0, 8 * kMiB);
  EXPECT_FALSE(plan.fits());
  const std::string refusal = plan.Refusal();
  for (const char* part :
       {"does not fit: rank 0 (w/0) needs ", "limit 8.00 MiB", "short by ",
        "process ", "weights ", "runtime ", "comm ", "slack ", "kv ",
        "(minimum: 1 x 512 tokens)"})
    EXPECT_THAT(refusal, HasSubstr(part));
}

// What the allocator hands out is what was planned, for every rank.
TEST(MemoryPlanTest, WeightsAreExact) {
  EngineSettings settings = Settings(3, 2);
  auto group = LocalGroup::Start(kTales, settings);
  ASSERT_TRUE(group.ok()) << group.status();
  for (const auto& rank : (*group)->ranks()) {
    auto used = rank->memory().used_bytes_by_tag();
    const MemoryPlan& plan = rank->memory_plan();
    EXPECT_LE(used["weights"], Term(plan, "weights")) << rank->rank();
    // Norms are vectors on the heap: the only part that is not packed.
    EXPECT_GE(used["weights"], Term(plan, "weights") - 64 * 1024)
        << rank->rank();
    EXPECT_LE(used["runtime"], Term(plan, "runtime")) << rank->rank();
    EXPECT_EQ(used["kv"],
              KvCacheBytes(plan.kv, (*group)->num_blocks(), plan.block_size));
  }
}

// What the runtime term grows by for a step of more tokens.
int64_t GrowthOf(int rank, int tokens) {
  EngineSettings small = Settings(1, 2), large = Settings(1, 2);
  large.max_num_batched_tokens = small.max_num_batched_tokens + tokens;
  return Term(PlanOf(large, rank, 64 * kMiB), "runtime") -
         Term(PlanOf(small, rank, 64 * kMiB), "runtime");
}

// Every token of a step may be scored with all the best: the results are held
// as sampled, as a message and as bytes.
TEST(MemoryPlanTest, TheLastStageHoldsResults) {
  constexpr int kTokens = 1000;
  const TokenLogprob logprob{.token_id = 100'000, .logprob = -3, .rank = 9};
  std::vector<SampledRow> sampled(kTokens);
  for (SampledRow& row : sampled) {
    row.logprob = logprob;
    for (int i = 0; i < kMaxTopLogprobs; ++i)
      row.top_logprobs.push_back(logprob);
  }
  internal::v1::StepResult result;
  EncodeRows(std::vector<LogitsRow>(kTokens), sampled, &result);
  int64_t held = static_cast<int64_t>(result.SpaceUsedLong()) +
                 2 * static_cast<int64_t>(result.ByteSizeLong());
  for (const SampledRow& row : sampled)
    held += static_cast<int64_t>(sizeof(row) + row.top_logprobs.capacity() *
                                                   sizeof(TokenLogprob));
  const int64_t planned = GrowthOf(1, kTokens) - GrowthOf(0, kTokens);
  EXPECT_GE(planned, held);
  EXPECT_LE(planned, 2 * held);
}

// Beside the scratch of operations; candidates are 256, in pairs.
TEST(MemoryPlanTest, EveryThreadPacksAndSamples) {
  const auto runtime = [](int threads, const std::string& backend) {
    EngineSettings settings = Settings(1, 1);
    settings.threads = threads;
    settings.backend = backend;
    return Term(PlanOf(settings, 0, 64 * kMiB), "runtime");
  };
  const int tokens = Settings(1, 1).max_num_batched_tokens;
  const int64_t scratch =
      ScratchBytes(tokens, {}, 9) - ScratchBytes(tokens, {}, 8);
  EXPECT_GE(runtime(9, "cpu") - runtime(8, "cpu"),
            scratch + Int4PackBytes(1) + 2 * 256 * 8);
  EXPECT_EQ(runtime(9, "reference"), runtime(8, "reference") + 4096 + 64);
}

}  // namespace
}  // namespace quatrain
