#include "coordinator/plan_encoder.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "quatrain/internal/v1/step.pb.h"

namespace quatrain {
namespace {

StepPlan DecodePlan(int num_sequences) {
  // Numbers as large as after days of serving.
  StepPlan plan = {.step_id = 100'000'000, .micro_batch = 1};
  for (int i = 0; i < num_sequences; ++i) {
    plan.chunks.push_back({.slot = 200 + i,
                           .generation = 1'000'000,
                           .sampled_by = 99'999'998,
                           .draw = true});
  }
  return plan;
}

TEST(PlanEncoderTest, DecodeStepOfSixteenSequencesTakesAtMost600Bytes) {
  const std::string bytes = EncodePlan(DecodePlan(16), /*epoch=*/1'800'000'000);
  EXPECT_LE(bytes.size(), 600u);
  RecordProperty("bytes", static_cast<int>(bytes.size()));
}

TEST(PlanEncoderTest, EqualPlansAreEqualBytes) {
  EXPECT_EQ(EncodePlan(DecodePlan(3), 7), EncodePlan(DecodePlan(3), 7));
}

TEST(PlanEncoderTest, SaysEverythingOfAFirstChunk) {
  StepPlan plan = {.step_id = 3, .released_slots = {9}};
  plan.chunks.push_back({.slot = 2,
                         .generation = 5,
                         .token_ids = {10, 11},
                         .new_blocks = {7, 8},
                         .sampling = PlannedSampling{.temperature = 0.5f,
                                                     .top_k = 40,
                                                     .top_p = 0.9f,
                                                     .seed = 77,
                                                     .logprobs = true,
                                                     .top_logprobs = 4},
                         .num_scored = 2,
                         .next_prompt_token = 0,
                         .prompt_top_logprobs = 6});

  internal::v1::StepPlan message;
  ASSERT_TRUE(message.ParseFromString(EncodePlan(plan, /*epoch=*/8)));

  EXPECT_EQ(message.epoch(), 8u);
  EXPECT_EQ(message.released_slots(0), 9u);
  const internal::v1::Chunk& chunk = message.chunks(0);
  EXPECT_EQ(chunk.slot(), 2u);
  EXPECT_EQ(chunk.generation(), 5u);
  EXPECT_EQ(chunk.prefill().token_ids(1), 11u);
  EXPECT_EQ(chunk.new_blocks(0).block_ids(1), 8u);
  EXPECT_EQ(chunk.sampling().seed(), 77u);
  EXPECT_EQ(chunk.logits_wanted().rows(), internal::v1::LogitsWanted::ROWS_ALL);
  EXPECT_FALSE(chunk.logits_wanted().draw());
  EXPECT_TRUE(chunk.logits_wanted().has_next_prompt_token());
  EXPECT_EQ(chunk.logits_wanted().prompt_top_logprobs(), 6u);
}

TEST(PlanEncoderTest, ReadsRowsAndFaults) {
  internal::v1::StepResult message;
  message.set_step_id(4);
  internal::v1::Row* row = message.add_rows();
  row->add_token_ids(12);
  row->mutable_logprob()->set_logprob(-0.5f);
  row->add_top_logprobs()->set_rank(1);
  message.mutable_fault()->set_code(14);
  message.mutable_fault()->set_message("peer closed");
  message.mutable_fault()->set_peer_rank(3);

  const auto outcome = DecodeOutcome(message.SerializeAsString());

  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->step_id, 4u);
  EXPECT_EQ(outcome->rows[0].token_id, 12);
  EXPECT_EQ(outcome->rows[0].logprob->logprob, -0.5f);
  EXPECT_EQ(outcome->rows[0].top_logprobs[0].rank, 1u);
  EXPECT_EQ(outcome->fault->status, absl::UnavailableError("peer closed"));
  EXPECT_EQ(outcome->fault->peer_rank, 3);
}

TEST(PlanEncoderTest, RefusesBytesThatAreNoResult) {
  EXPECT_EQ(DecodeOutcome("\xff\xff").status().code(),
            absl::StatusCode::kInvalidArgument);
}

// A scored row in which every number takes as many bytes as it can.
internal::v1::Row LargestRow() {
  const auto fill = [](internal::v1::Logprob* logprob) {
    logprob->set_token_id(0xffffffff);
    logprob->set_logprob(-1.5f);
    logprob->set_rank(0xffffffff);
  };
  internal::v1::Row row;
  row.set_chunk_index(kMaxBatchedTokens);
  row.add_token_ids(0xffffffff);
  row.set_scored(true);
  row.set_not_finite(true);
  row.set_position(0xffffffff);
  fill(row.mutable_logprob());
  for (int i = 0; i < 20; ++i) fill(row.add_top_logprobs());
  return row;
}

TEST(PlanEncoderTest, ResultOfTheLargestPlanFitsAMessage) {
  internal::v1::StepResult result;
  *result.add_rows() = LargestRow();
  EXPECT_EQ(result.ByteSizeLong(), 423u);
  for (int i = 1; i < kMaxBatchedTokens; ++i) *result.add_rows() = LargestRow();
  result.set_epoch(~uint64_t{0});
  result.set_step_id(~uint64_t{0});
  result.set_rank(0xffffffff);
  result.set_digest(~uint64_t{0});
  result.set_compute_us(~uint64_t{0});

  EXPECT_LE(result.ByteSizeLong(), size_t{kMaxGroupMessageBytes});
}

}  // namespace
}  // namespace quatrain
