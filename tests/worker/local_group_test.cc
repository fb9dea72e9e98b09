#include "worker/local_group.h"

#include <string>
#include <vector>

#include "base/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/local_prompts.h"

namespace quatrain {
namespace {

using testing::HasSubstr;

// The logging library makes its logger on first use, unseen by ThreadSanitizer:
// so before there are threads.
const bool kLogging = StartLogging("error", "test").ok();

EngineSettings Settings(int tp, int pp) {
  EngineSettings settings = TalesSettings();
  settings.layout = LayoutOf(tp, pp);
  settings.num_micro_batches = pp;
  settings.max_model_len = 128;
  return settings;
}

TEST(LocalGroupTest, RunsFourRanksLikeOne) {
  const std::vector<LocalRequest> requests =
      Requests(3, 12, {.temperature = 0.9f, .top_p = 0.9f, .seed = 3});
  ExpectSame(RunOn(Settings(1, 1), requests), RunOn(Settings(2, 2), requests));
}

TEST(LocalGroupTest, TakesSlotsAgain) {
  ASSERT_TRUE(kLogging);
  auto group = LocalGroup::Start(kTales, Settings(1, 2));
  ASSERT_TRUE(group.ok()) << group.status();
  const std::vector<LocalRequest> requests = Requests(2, 5, {.temperature = 0});
  const auto first = RunLocally(**group, requests);
  const auto second = RunLocally(**group, requests);
  ASSERT_TRUE(first.ok() && second.ok()) << second.status();
  ExpectSame(*first, *second);
}

// Ids that no plan ever continues do not pile up on their channel.
TEST(LocalGroupTest, TakesIdsThatNobodyContinues) {
  auto group = LocalGroup::Start(kTales, Settings(2, 2));
  ASSERT_TRUE(group.ok()) << group.status();
  const LocalRequest request = {
      .prompt = {1, 300, 301}, .num_tokens = 1, .sampling = {.temperature = 0}};
  for (int i = 0; i < kMaxSamplesInFlight + 8; ++i) {
    const auto output = RunLocally(**group, std::span(&request, 1));
    ASSERT_TRUE(output.ok()) << i << ": " << output.status();
  }
}

TEST(LocalGroupTest, ScoresTokens) {
  auto group = LocalGroup::Start(kTales, Settings(1, 1));
  ASSERT_TRUE(group.ok()) << group.status();
  const std::vector<int32_t> ids = Prompts(4).back();
  const auto scores = ScoreTokens(**group, ids);
  ASSERT_TRUE(scores.ok()) << scores.status();
  ASSERT_EQ(scores->size(), ids.size() - 1);
  for (const float score : *scores) EXPECT_LT(score, 0);
}

TEST(LocalGroupTest, RunsAPlanWithoutChunks) {
  auto group = LocalGroup::Start(kTales, Settings(2, 2));
  ASSERT_TRUE(group.ok()) << group.status();
  const auto result = (*group)->RunPlan({});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->rows_size(), 0);
  EXPECT_NE(result->digest(), 0u);
}

TEST(LocalGroupTest, ABadPlanIsAFaultOfTheGroup) {
  auto group = LocalGroup::Start(kTales, Settings(2, 2));
  ASSERT_TRUE(group.ok()) << group.status();
  internal::v1::StepPlan plan;
  plan.add_released_slots(3);
  const auto result = (*group)->RunPlan(plan);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("releases slot 3, which is not in use"));
}

TEST(LocalGroupTest, RefusesALayoutThatDoesNotCoverTheLayers) {
  EngineSettings settings = TalesSettings();
  settings.layout.stages = {{{0, 7}, {1}}};
  EXPECT_EQ(LocalGroup::Start(kTales, settings).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(LocalGroupTest, SaysThatAModelDoesNotExist) {
  EXPECT_FALSE(LocalGroup::Start("no/such/folder", TalesSettings()).ok());
}

// Stops while plans are in flight: nobody waits for a peer that is gone.
TEST(LocalGroupTest, StopsInFlight) {
  auto group = LocalGroup::Start(kTales, Settings(2, 2));
  ASSERT_TRUE(group.ok()) << group.status();
  for (uint32_t slot = 0; slot < 3; ++slot) {
    internal::v1::StepPlan plan;
    internal::v1::Chunk* chunk = plan.add_chunks();
    chunk->set_slot(slot);
    for (uint32_t i = 0; i < 100; ++i)
      chunk->mutable_prefill()->add_token_ids(300 + i);
    for (uint32_t i = 0; i < 7; ++i)
      chunk->mutable_new_blocks()->Add()->add_block_ids(slot * 7 + i);
    chunk->mutable_logits_wanted()->set_rows(
        internal::v1::LogitsWanted::ROWS_NONE);
    ASSERT_TRUE((*group)->Submit(plan).ok());
  }
}

}  // namespace
}  // namespace quatrain
