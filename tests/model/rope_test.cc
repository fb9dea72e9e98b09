#include "model/rope.h"

#include <cmath>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

ModelConfig Config(int head_dim, RopeConfig rope) {
  ModelConfig config;
  config.head_dim = head_dim;
  config.rope = rope;
  return config;
}

// Expected values come from the published formulas in double precision.
void ExpectFrequency(const RopeTable& table, int i, double expected) {
  EXPECT_NEAR(table.inv_freq[i] / expected, 1, 1e-6) << i;
}

TEST(RopeTest, FrequenciesFallGeometrically) {
  const RopeTable table = ComputeRope(Config(64, {.theta = 10000}));
  ASSERT_EQ(table.inv_freq.size(), 32u);
  EXPECT_EQ(table.inv_freq[0], 1.0f);
  ExpectFrequency(table, 1, 0.749894209);
  ExpectFrequency(table, 16, 0.01);
  ExpectFrequency(table, 31, 0.000133352143);
  EXPECT_EQ(table.attention_scaling, 1.0f);
}

TEST(RopeTest, LinearDividesEveryFrequency) {
  const RopeTable plain = ComputeRope(Config(64, {.theta = 10000}));
  const RopeTable scaled = ComputeRope(
      Config(64, {.theta = 10000, .kind = RopeKind::kLinear, .factor = 2.5}));
  for (int i = 0; i < 32; ++i)
    EXPECT_EQ(scaled.inv_freq[i], plain.inv_freq[i] / 2.5f);
}

TEST(RopeTest, Llama3StretchesLongWavelengths) {
  const RopeTable table =
      ComputeRope(Config(128, {.theta = 500000,
                               .kind = RopeKind::kLlama3,
                               .factor = 8,
                               .low_freq_factor = 1,
                               .high_freq_factor = 4,
                               .original_max_position_embeddings = 8192}));
  ExpectFrequency(table, 28, 0.00321144599);   // kept
  ExpectFrequency(table, 30, 0.00137189357);   // between
  ExpectFrequency(table, 33, 0.00031269375);   // between
  ExpectFrequency(table, 36, 7.78465527e-05);  // stretched
  ExpectFrequency(table, 63, 3.06892599e-07);
  EXPECT_EQ(table.attention_scaling, 1.0f);
}

TEST(RopeTest, YarnRampsBetweenKeptAndStretched) {
  const RopeTable table =
      ComputeRope(Config(128, {.theta = 1000000,
                               .kind = RopeKind::kYarn,
                               .factor = 4,
                               .original_max_position_embeddings = 32768,
                               .attention_factor = 1.25}));
  EXPECT_EQ(table.inv_freq[0], 1.0f);
  ExpectFrequency(table, 20, 0.0133352143);
  ExpectFrequency(table, 30, 0.00106436098);
  ExpectFrequency(table, 39, 6.49039432e-05);
  ExpectFrequency(table, 40, 4.44569853e-05);
  ExpectFrequency(table, 63, 3.1023444e-07);
  EXPECT_EQ(table.attention_scaling, 1.25f);
}

TEST(RopeTest, YarnWithoutTruncationKeepsFractionalEnds) {
  const RopeTable table =
      ComputeRope(Config(64, {.theta = 10000,
                              .kind = RopeKind::kYarn,
                              .factor = 4,
                              .original_max_position_embeddings = 2048,
                              .beta_fast = 16,
                              .beta_slow = 2,
                              .truncate = false}));
  ExpectFrequency(table, 12, 0.026607497);
  ExpectFrequency(table, 16, 0.0042616192);
  ExpectFrequency(table, 20, 0.000790569415);
}

}  // namespace
}  // namespace quatrain
