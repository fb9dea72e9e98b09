#include "worker/batch_builder.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quatrain {
namespace {

using internal::v1::Chunk;
using internal::v1::StepPlan;
using testing::ElementsAre;
using testing::HasSubstr;
using Wanted = internal::v1::LogitsWanted;

PlanLimits Limits() {
  return {.epoch = 3,
          .num_slots = 4,
          .num_blocks = 10,
          .block_size = 4,
          .max_tokens = 16,
          .max_context = 20,
          .vocab_size = 100,
          .num_micro_batches = 2};
}

StepPlan Plan(uint64_t step_id) {
  StepPlan plan;
  plan.set_epoch(3);
  plan.set_step_id(step_id);
  return plan;
}

// A prompt of 5 tokens in slot 2, which draws.
StepPlan FirstPlan() {
  StepPlan plan = Plan(1);
  Chunk* chunk = plan.add_chunks();
  chunk->set_slot(2);
  chunk->set_generation(1);
  for (const uint32_t id : {1, 20, 30, 40, 50})
    chunk->mutable_prefill()->add_token_ids(id);
  internal::v1::BlockDelta* blocks = chunk->add_new_blocks();
  blocks->add_block_ids(7);
  blocks->add_block_ids(3);
  chunk->mutable_sampling()->set_temperature(0.5f);
  chunk->mutable_sampling()->set_top_p(0.9f);
  chunk->mutable_sampling()->set_seed(9);
  chunk->mutable_logits_wanted()->set_rows(Wanted::ROWS_LAST);
  return plan;
}

StepPlan ContinuePlan(uint64_t step_id, uint64_t sampled_by) {
  StepPlan plan = Plan(step_id);
  Chunk* chunk = plan.add_chunks();
  chunk->set_slot(2);
  chunk->set_generation(1);
  chunk->mutable_continue_()->set_sampled_by(sampled_by);
  chunk->mutable_logits_wanted()->set_rows(Wanted::ROWS_LAST);
  return plan;
}

TEST(BatchBuilderTest, BuildsAPrompt) {
  BatchBuilder builder(Limits());
  const auto planned = builder.Build(FirstPlan());
  ASSERT_TRUE(planned.ok()) << planned.status();
  EXPECT_EQ(planned->num_tokens, 5);
  EXPECT_THAT(planned->drawn_slots, ElementsAre(2));
  EXPECT_TRUE(planned->continued.empty());
  const ChunkDelta& delta = planned->step.chunks.at(0);
  EXPECT_TRUE(delta.new_tenant);
  EXPECT_EQ(delta.slot, 2);
  EXPECT_THAT(delta.token_ids, ElementsAre(1, 20, 30, 40, 50));
  EXPECT_THAT(delta.new_blocks, ElementsAre(7, 3));
  EXPECT_EQ(delta.sampling->seed, 9u);
  EXPECT_TRUE(delta.draw);
}

TEST(BatchBuilderTest, ContinuesWhatWasSampledLast) {
  BatchBuilder builder(Limits());
  ASSERT_TRUE(builder.Build(FirstPlan()).ok());
  const auto planned = builder.Build(ContinuePlan(2, 1));
  ASSERT_TRUE(planned.ok()) << planned.status();
  ASSERT_EQ(planned->continued.size(), 1u);
  EXPECT_EQ(planned->continued[0].slot, 2);
  EXPECT_EQ(planned->continued[0].sampled_by, 1u);
  EXPECT_FALSE(planned->step.chunks[0].new_tenant);
  // Plan 2 drew again: plan 3 may not go back to plan 1.
  EXPECT_THAT(std::string(builder.Build(ContinuePlan(3, 1)).status().message()),
              HasSubstr("the plan that sampled it last is 2"));
}

TEST(BatchBuilderTest, ReusesAReleasedSlotInTheSamePlan) {
  BatchBuilder builder(Limits());
  ASSERT_TRUE(builder.Build(FirstPlan()).ok());
  StepPlan plan = FirstPlan();
  plan.set_step_id(2);
  plan.add_released_slots(2);
  plan.mutable_chunks(0)->set_generation(2);
  const auto planned = builder.Build(plan);
  ASSERT_TRUE(planned.ok()) << planned.status();
  EXPECT_THAT(planned->step.released_slots, ElementsAre(2));
  EXPECT_TRUE(planned->step.chunks[0].new_tenant);
}

TEST(BatchBuilderTest, ScoresAPromptAcrossChunks) {
  BatchBuilder builder(Limits());
  StepPlan plan = FirstPlan();
  Wanted* wanted = plan.mutable_chunks(0)->mutable_logits_wanted();
  wanted->set_rows(Wanted::ROWS_ALL);
  wanted->set_next_prompt_token(60);
  wanted->set_prompt_top_logprobs(3);
  const auto planned = builder.Build(plan);
  ASSERT_TRUE(planned.ok()) << planned.status();
  EXPECT_EQ(planned->step.chunks[0].next_prompt_token, 60);
  EXPECT_EQ(planned->step.chunks[0].prompt_top_logprobs, 3);
  EXPECT_TRUE(planned->drawn_slots.empty());
}

// What no coordinator may send, each with its code and a part of its message.
struct BadPlan {
  const char* name;
  std::function<void(StepPlan&)> spoil;  // of FirstPlan()
  absl::StatusCode code;
  const char* message;
};

void PrintTo(const BadPlan& bad, std::ostream* out) { *out << bad.name; }

class BadPlanTest : public testing::TestWithParam<BadPlan> {};

TEST_P(BadPlanTest, IsRefused) {
  BatchBuilder builder(Limits());
  StepPlan plan = FirstPlan();
  GetParam().spoil(plan);
  const absl::Status status = builder.Build(plan).status();
  EXPECT_EQ(status.code(), GetParam().code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kReserved = absl::StatusCode::kUnimplemented;

INSTANTIATE_TEST_SUITE_P(
    Plans, BadPlanTest,
    testing::Values(
        BadPlan{"another epoch", [](StepPlan& p) { p.set_epoch(2); },
                absl::StatusCode::kFailedPrecondition, "epoch 2"},
        BadPlan{"a gap", [](StepPlan& p) { p.set_step_id(2); }, kInvalid,
                "plan 2 follows plan 0"},
        BadPlan{"micro-batch", [](StepPlan& p) { p.set_micro_batch(2); },
                kInvalid, "micro_batch 2, expected less than 2"},
        BadPlan{"free slot released",
                [](StepPlan& p) { p.add_released_slots(1); }, kInvalid,
                "releases slot 1, which is not in use"},
        BadPlan{"slot", [](StepPlan& p) { p.mutable_chunks(0)->set_slot(4); },
                kInvalid, "slot 4, expected less than 4"},
        BadPlan{"two chunks",
                [](StepPlan& p) { *p.add_chunks() = p.chunks(0); }, kInvalid,
                "slot 2 has two chunks"},
        BadPlan{"block",
                [](StepPlan& p) {
                  p.mutable_chunks(0)->mutable_new_blocks(0)->add_block_ids(10);
                },
                kInvalid, "block 10, expected less than 10"},
        BadPlan{"too few blocks",
                [](StepPlan& p) {
                  p.mutable_chunks(0)->mutable_new_blocks(0)->clear_block_ids();
                  p.mutable_chunks(0)->mutable_new_blocks(0)->add_block_ids(1);
                },
                kInvalid, "reaches 5 tokens, its blocks hold 4"},
        BadPlan{"kv group",
                [](StepPlan& p) {
                  p.mutable_chunks(0)->mutable_new_blocks(0)->set_kv_group(1);
                },
                kReserved, "kv_group"},
        BadPlan{"no work",
                [](StepPlan& p) { p.mutable_chunks(0)->clear_prefill(); },
                kInvalid, "slot 2 has no work"},
        BadPlan{"verify",
                [](StepPlan& p) { p.mutable_chunks(0)->mutable_verify(); },
                kReserved, "verify is reserved"},
        BadPlan{
            "await_update",
            [](StepPlan& p) { p.mutable_chunks(0)->set_await_update(true); },
            kReserved, "await_update is reserved"},
        BadPlan{"update",
                [](StepPlan& p) { p.mutable_chunks(0)->mutable_update(); },
                kReserved, "update is reserved"},
        BadPlan{"penalty ids",
                [](StepPlan& p) {
                  p.mutable_chunks(0)->mutable_sampling()->add_prompt_token_ids(
                      1);
                },
                kReserved, "sampling.prompt_token_ids is reserved"},
        BadPlan{"continue of nothing",
                [](StepPlan& p) {
                  p.mutable_chunks(0)->mutable_continue_()->set_sampled_by(1);
                },
                kInvalid, "the plan that sampled it last is 0"},
        BadPlan{"token id",
                [](StepPlan& p) {
                  p.mutable_chunks(0)->mutable_prefill()->set_token_ids(0, 100);
                },
                kInvalid, "token id 100, expected less than 100"},
        BadPlan{"start",
                [](StepPlan& p) {
                  p.mutable_chunks(0)->mutable_prefill()->set_start(8);
                },
                kInvalid, "prefills from 8, expected within its blocks"},
        BadPlan{"rows",
                [](StepPlan& p) { p.mutable_chunks(0)->clear_logits_wanted(); },
                kInvalid, "logits_wanted.rows is 0"},
        BadPlan{"draws without a setup",
                [](StepPlan& p) { p.mutable_chunks(0)->clear_sampling(); },
                kInvalid, "draws without a sampling setup"},
        BadPlan{"temperature",
                [](StepPlan& p) {
                  p.mutable_chunks(0)->mutable_sampling()->set_temperature(
                      0.001f);
                },
                kInvalid, "temperature is 0.001, expected 0 or 0.01..100"},
        BadPlan{"top_p",
                [](StepPlan& p) {
                  p.mutable_chunks(0)->mutable_sampling()->set_top_p(0);
                },
                kInvalid, "top_p is 0, expected (0, 1]"},
        BadPlan{"top_logprobs",
                [](StepPlan& p) {
                  p.mutable_chunks(0)->mutable_sampling()->set_top_logprobs(21);
                },
                kInvalid, "top_logprobs is 21, expected 0..20"}));

TEST(BatchBuilderTest, RefusesTooManyTokens) {
  PlanLimits limits = Limits();
  limits.max_tokens = 4;
  EXPECT_THAT(
      std::string(BatchBuilder(limits).Build(FirstPlan()).status().message()),
      HasSubstr("5 tokens, expected at most 4"));
}

TEST(BatchBuilderTest, RefusesAContextThatIsTooLong) {
  PlanLimits limits = Limits();
  limits.max_context = 4;
  EXPECT_EQ(BatchBuilder(limits).Build(FirstPlan()).status().code(), kInvalid);
}

TEST(BatchBuilderTest, RefusesBytesThatAreNoPlan) {
  EXPECT_EQ(ParsePlan("\xff\xff").status().code(), kInvalid);
}

TEST(BatchBuilderTest, EncodesRows) {
  const std::vector<LogitsRow> rows = {
      {.chunk_index = 1, .position = 6, .target = 8},
      {.chunk_index = 2, .position = 9, .draw = true}};
  std::vector<SampledRow> sampled(2);
  sampled[0] = {.token_id = 8, .logprob = TokenLogprob{8, -1.5f, 4}};
  sampled[1].not_finite = true;
  internal::v1::StepResult result;
  EncodeRows(rows, sampled, &result);
  ASSERT_EQ(result.rows_size(), 2);
  EXPECT_TRUE(result.rows(0).scored());
  EXPECT_EQ(result.rows(0).position(), 7u);
  EXPECT_EQ(result.rows(0).logprob().rank(), 4u);
  EXPECT_TRUE(result.rows(1).not_finite());
  EXPECT_EQ(result.rows(1).token_ids_size(), 0);
}

}  // namespace
}  // namespace quatrain
