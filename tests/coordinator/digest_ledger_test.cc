#include "coordinator/digest_ledger.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/fake_rank.h"

namespace quatrain {
namespace {

using ::testing::HasSubstr;

// Two stages: rank 0, then ranks 1 (samples) and 2.
class DigestLedgerTest : public testing::Test {
 protected:
  // A prompt of two tokens, then one token a step.
  void Step() {
    plan_ = {.step_id = plan_.step_id + 1};
    PlannedChunk chunk = {.draw = true};
    if (plan_.step_id == 1) {
      chunk.token_ids = {5, 6};
    } else {
      chunk.sampled_by = plan_.step_id - 1;
    }
    plan_.chunks = {chunk};
    bytes_ = EncodePlan(plan_, /*epoch=*/1);
    sampled_ = *DecodeOutcome(sampler_.Execute(bytes_).SerializeAsString());
    first_digest_ = first_.Execute(bytes_).digest();
    last_digest_ = last_.Execute(bytes_).digest();
  }
  absl::Status Commit() { return ledger_.Committed(plan_, bytes_, sampled_); }

  FakeRank first_{0, /*first_stage=*/true, /*samples=*/false};
  FakeRank sampler_{1, /*first_stage=*/false, /*samples=*/true};
  FakeRank last_{2, /*first_stage=*/false, /*samples=*/false};
  DigestLedger ledger_{{0, 1, 1}};
  StepPlan plan_;
  std::string bytes_;
  StepOutcome sampled_;
  uint64_t first_digest_ = 0, last_digest_ = 0;
};

TEST_F(DigestLedgerTest, RanksThatAgreeAreFineBeforeAndAfterTheCommit) {
  for (int i = 0; i < 50; ++i) {
    Step();
    EXPECT_TRUE(ledger_.Reported(0, plan_.step_id, first_digest_).ok());
    EXPECT_TRUE(Commit().ok());
    EXPECT_TRUE(ledger_.Reported(2, plan_.step_id, last_digest_).ok());
  }
}

TEST_F(DigestLedgerTest, FirstStageThatEmbeddedOtherIdsIsFound) {
  Step();
  ASSERT_TRUE(Commit().ok());
  // A stage that embeds nothing has another chain than the first.
  EXPECT_THAT(std::string(ledger_.Reported(0, 1, last_digest_).message()),
              HasSubstr("rank 0 diverged"));
}

TEST_F(DigestLedgerTest, EarlyReportIsComparedAtTheCommit) {
  Step();
  ASSERT_TRUE(ledger_.Reported(2, 1, last_digest_ + 1).ok());
  EXPECT_THAT(std::string(Commit().message()),
              HasSubstr("rank 2 diverged: digest"));
}

TEST_F(DigestLedgerTest, RowThatIsNotFiniteEndsWhatIsKnownOfTheFirstStage) {
  Step();
  sampled_.rows[0].not_finite = true;
  ASSERT_TRUE(Commit().ok());
  Step();
  ASSERT_TRUE(Commit().ok());
  EXPECT_TRUE(ledger_.Reported(0, 2, 12345).ok());
  EXPECT_FALSE(ledger_.Reported(0, 2, 12346).ok());
  EXPECT_FALSE(ledger_.Reported(2, 2, 12345).ok());
}

}  // namespace
}  // namespace quatrain
