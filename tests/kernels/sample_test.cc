#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "gtest/gtest.h"
#include "kernels/candidates.h"
#include "kernels/gumbel.h"
#include "kernels/sampler.h"
#include "kernels/solo_group.h"
#include "tests/support/random.h"
#include "tests/support/thread_group.h"

namespace quatrain {
namespace {

using Logits = std::vector<std::vector<float>>;  // [rows][vocab]

struct Sampled {
  std::vector<SampledRow> rows;
  int gathers = 0;
};

// Samples all rows with the vocabulary cut at `ends`; rank 0's results.
Sampled SampleCut(const Logits& logits, const std::vector<LogitsRow>& rows,
                  const std::vector<int>& ends, int num_token_ids = 0) {
  const VocabSpec vocab{.vocab_size = ends.back(),
                        .rank_ends = ends,
                        .num_token_ids = num_token_ids};
  Sampled sampled;
  TestGroup::RunRanks(static_cast<int>(ends.size()), [&](TestGroup& group) {
    const int begin = group.rank() > 0 ? ends[group.rank() - 1] : 0;
    HostMatrix<float> mine(static_cast<int>(rows.size()),
                           ends[group.rank()] - begin);
    for (size_t i = 0; i < rows.size(); ++i)
      std::copy_n(logits[i].begin() + begin, mine.view().cols,
                  mine.row(static_cast<int>(i)).begin());
    std::vector<SampledRow> out(rows.size());
    SampleRows(mine.view(), rows, vocab, ReferenceRowKernels(), group, out);
    if (group.rank() == 0) sampled = {out, group.gathers()};
  });
  return sampled;
}

Sampled SampleWhole(const Logits& logits, const std::vector<LogitsRow>& rows) {
  return SampleCut(logits, rows, {static_cast<int>(logits[0].size())});
}

// Random ends at whole tiles; some ranks may own nothing.
std::vector<int> RandomCut(int vocab_size, int ranks, Random& random) {
  std::vector<int> ends;
  for (int r = 0; r + 1 < ranks; ++r)
    ends.push_back(random.Int(0, vocab_size / kVocabTile) * kVocabTile);
  ends.push_back(vocab_size);
  std::sort(ends.begin(), ends.end());
  return ends;
}

std::string Text(const TokenLogprob& logprob) {
  return std::to_string(logprob.token_id) + ":" +
         std::to_string(std::bit_cast<uint32_t>(logprob.logprob)) + ":" +
         std::to_string(logprob.rank) + " ";
}

// Every bit of a result.
std::string Text(const SampledRow& row) {
  std::string text =
      std::to_string(row.token_id) + (row.not_finite ? " not finite " : " ");
  if (row.logprob) text += Text(*row.logprob);
  for (const TokenLogprob& top : row.top_logprobs) text += "| " + Text(top);
  return text;
}

void ExpectSame(const Sampled& got, const Sampled& want) {
  ASSERT_EQ(got.rows.size(), want.rows.size());
  for (size_t i = 0; i < got.rows.size(); ++i)
    EXPECT_EQ(Text(got.rows[i]), Text(want.rows[i])) << "row " << i;
}

LogitsRow DrawRow(SamplingSetup sampling, int position, int top_logprobs = 0) {
  return {.position = position,
          .draw = true,
          .top_logprobs = top_logprobs,
          .logprobs = top_logprobs > 0,
          .sampling = sampling};
}

// Rows of every kind of distribution and of sampling.
enum class Shape { kPeaked, kFlat, kTies, kEqual, kSigns };

std::vector<float> RandomLogits(int vocab_size, Shape shape, Random& random) {
  std::vector<float> logits = random.Normals(vocab_size);
  for (float& logit : logits) {
    if (shape == Shape::kPeaked) logit *= 5.0f;
    if (shape == Shape::kFlat) logit *= 0.05f;
    if (shape == Shape::kTies) logit = std::round(logit);
    if (shape == Shape::kEqual) logit = -3.25f;
    if (shape == Shape::kSigns) logit = logit < 0 ? -0.0f : 0.0f;
  }
  return logits;
}

SamplingSetup RandomSetup(Random& random) {
  SamplingSetup setup;
  const float temperatures[] = {0.0f, 1.0f, 0.7f, 3.0f, 0.01f};
  setup.temperature = temperatures[random.Int(0, 4)];
  const int top_ks[] = {0, 0, 1, 5, 40, 256, 257, 600, 100000};
  setup.top_k = top_ks[random.Int(0, 8)];
  const float top_ps[] = {1.0f, 1.0f, 0.95f, 0.5f, 1e-6f, 0.9999999f};
  setup.top_p = top_ps[random.Int(0, 5)];
  setup.seed = random.Int(0, 1000);
  setup.choice = random.Int(0, 3);
  return setup;
}

TEST(SampleTest, TheCutOfTheVocabularyChangesNoBit) {
  Random random(11);
  int gathered = 0;
  for (int round = 0; round < 60; ++round) {
    const int vocab_size = random.Int(1000, 5000);
    Logits logits;
    std::vector<LogitsRow> rows;
    for (int i = 0; i < 6; ++i) {
      logits.push_back(RandomLogits(
          vocab_size, static_cast<Shape>(random.Int(0, 4)), random));
      const int top = random.Int(0, 2) * 10;
      rows.push_back(DrawRow(RandomSetup(random), random.Int(0, 5000), top));
      if (random.Int(0, 3) == 0)
        rows.back() = {.target = random.Int(0, vocab_size - 1),
                       .top_logprobs = top,
                       .logprobs = true};
    }
    const Sampled whole = SampleWhole(logits, rows);
    for (const int ranks : {2, 3, 5}) {
      const Sampled cut =
          SampleCut(logits, rows, RandomCut(vocab_size, ranks, random));
      ExpectSame(cut, whole);
      gathered += cut.gathers > 1;
    }
  }
  EXPECT_GT(gathered, 30);  // the path of whole rows is taken, too
}

// With padding rows everything but log-probabilities is as if the vocabulary
// ended before them.
TEST(SampleTest, PaddingRowsChangeNothingButLogprobs) {
  Random random(16);
  for (int round = 0; round < 40; ++round) {
    const int vocab_size = random.Int(1000, 3000);
    const int num_ids = random.Int(1, vocab_size);
    Logits padded, bare;
    std::vector<LogitsRow> rows;
    for (int i = 0; i < 6; ++i) {
      padded.push_back(RandomLogits(
          vocab_size, static_cast<Shape>(random.Int(0, 4)), random));
      bare.emplace_back(padded[i].begin(), padded[i].begin() + num_ids);
      for (int id = num_ids; id < vocab_size; ++id) padded[i][id] = 50.0f;
      rows.push_back(DrawRow(RandomSetup(random), random.Int(0, 5000), 20));
      if (i == 0) rows[i] = {.target = 0, .top_logprobs = 20};
    }
    const Sampled want = SampleWhole(bare, rows);
    for (const int ranks : {1, 3, 5}) {
      const Sampled got = SampleCut(
          padded, rows, RandomCut(vocab_size, ranks, random), num_ids);
      for (size_t i = 0; i < rows.size(); ++i) {
        ASSERT_EQ(got.rows[i].token_id, want.rows[i].token_id);
        ASSERT_EQ(got.rows[i].logprob->rank, want.rows[i].logprob->rank);
        ASSERT_EQ(got.rows[i].top_logprobs.size(),
                  std::min<size_t>(20, num_ids));
        for (size_t k = 0; k < got.rows[i].top_logprobs.size(); ++k)
          ASSERT_EQ(got.rows[i].top_logprobs[k].token_id,
                    want.rows[i].top_logprobs[k].token_id);
      }
    }
  }
}

TEST(SampleTest, LogprobsAreOfAllRowsAndMayScoreAPaddingRow) {
  const std::vector<float> logits(600, 1.5f);
  const SampledRow row =
      SampleCut({logits},
                {{.target = 500, .top_logprobs = 3, .logprobs = true}},
                {256, 600}, /*num_token_ids=*/400)
          .rows[0];
  EXPECT_NEAR(row.logprob->logprob, -std::log(600.0), 1e-6);
  EXPECT_EQ(row.logprob->rank, 401u);
  EXPECT_EQ(row.top_logprobs[2].token_id, 2);
}

TEST(SampleTest, CompanyChangesNoBit) {
  Random random(12);
  Logits logits;
  std::vector<LogitsRow> rows;
  for (int i = 0; i < 8; ++i) {
    logits.push_back(RandomLogits(1500, Shape::kPeaked, random));
    rows.push_back(DrawRow(RandomSetup(random), i, 3));
  }
  const Sampled together = SampleCut(logits, rows, {512, 1500});
  for (size_t i = 0; i < rows.size(); ++i) {
    const Sampled alone = SampleCut({logits[i]}, {rows[i]}, {512, 1500});
    EXPECT_EQ(Text(alone.rows[0]), Text(together.rows[i]));
  }
}

TEST(SampleTest, GreedyTakesTheLowestOfTheBest) {
  std::vector<float> logits(2000, -1.0f);
  logits[700] = logits[300] = logits[1999] = 4.0f;
  const SamplingSetup greedy{.temperature = 0.0f, .top_k = 5, .top_p = 0.1f};
  for (const auto& ends :
       {std::vector{2000}, std::vector{512, 2000}, std::vector{256, 256, 2000}})
    EXPECT_EQ(SampleCut({logits}, {DrawRow(greedy, 0)}, ends).rows[0].token_id,
              300);
}

// Against sums in double over the whole row.
TEST(SampleTest, LogprobsAndRanksAreOfTheRawDistribution) {
  Random random(13);
  const std::vector<float> logits = RandomLogits(3000, Shape::kPeaked, random);
  double total = 0;
  for (const float logit : logits)
    total += std::exp(static_cast<double>(logit));
  for (const int target : {0, 1234, 2999}) {
    const SampledRow row =
        SampleCut({logits},
                  {{.target = target, .top_logprobs = 20, .logprobs = true}},
                  {1024, 3000})
            .rows[0];
    EXPECT_EQ(row.token_id, target);
    EXPECT_NEAR(row.logprob->logprob, logits[target] - std::log(total), 1e-5);
    EXPECT_EQ(row.logprob->rank,
              1 + std::count_if(logits.begin(), logits.end(), [&](float logit) {
                return logit > logits[target];
              }));
    ASSERT_EQ(row.top_logprobs.size(), 20u);
    for (size_t i = 0; i < 20; ++i) EXPECT_EQ(row.top_logprobs[i].rank, i + 1);
    EXPECT_EQ(row.top_logprobs[0].token_id,
              std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
}

TEST(SampleTest, EqualLogitsRankByTokenId) {
  const std::vector<float> logits(600, 1.5f);
  const SampledRow row =
      SampleCut({logits},
                {{.target = 300, .top_logprobs = 3, .logprobs = true}},
                {256, 600})
          .rows[0];
  EXPECT_EQ(row.logprob->rank, 301u);
  EXPECT_EQ(row.top_logprobs[2].token_id, 2);
  EXPECT_NEAR(row.logprob->logprob, -std::log(600.0), 1e-6);
}

// What the filters keep, by sums in double, where no id is near the border.
TEST(SampleTest, OnlyKeptIdsAreDrawnAndAllOfThem) {
  std::vector<float> logits(1000, -20.0f);
  const double mass[] = {0.4, 0.3, 0.15, 0.1, 0.05};
  for (int i = 0; i < 5; ++i)
    logits[i * 211] = static_cast<float>(std::log(mass[i]));
  const auto drawn = [&](SamplingSetup setup) {
    std::map<int, int> counts;
    std::vector<LogitsRow> rows;
    for (int position = 0; position < 400; ++position)
      rows.push_back(DrawRow(setup, position));
    const Sampled sampled =
        SampleCut(Logits(rows.size(), logits), rows, {256, 768, 1000});
    for (const SampledRow& row : sampled.rows) ++counts[row.token_id / 211];
    return counts.size();
  };
  EXPECT_EQ(drawn({.seed = 1}), 5u);
  EXPECT_EQ(drawn({.top_k = 3, .seed = 1}), 3u);
  EXPECT_EQ(drawn({.top_p = 0.5f, .seed = 1}), 2u);
  EXPECT_EQ(drawn({.top_p = 0.8f, .seed = 1}), 3u);
  EXPECT_EQ(drawn({.top_p = 1e-9f, .seed = 1}), 1u);
  // Of the three kept by top_k, the first two have 0.82 of the mass.
  EXPECT_EQ(drawn({.top_k = 3, .top_p = 0.8f, .seed = 1}), 2u);
  // At temperature 0.5 masses are squared: 0.55, 0.31, 0.08, ..
  EXPECT_EQ(drawn({.temperature = 0.5f, .top_p = 0.8f, .seed = 1}), 2u);
}

TEST(SampleTest, MarkedRowsAreReportedAndOthersDrawn) {
  Random random(14);
  Logits logits(3, RandomLogits(1000, Shape::kPeaked, random));
  logits[1][900] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<LogitsRow> rows(3, DrawRow({.top_p = 0.9f}, 3, 2));
  const Sampled cut = SampleCut(logits, rows, {256, 1000});
  EXPECT_TRUE(cut.rows[1].not_finite);
  EXPECT_EQ(cut.rows[1].token_id, -1);
  EXPECT_FALSE(cut.rows[1].logprob.has_value());
  EXPECT_FALSE(cut.rows[0].not_finite);
  EXPECT_EQ(Text(cut.rows[0]), Text(cut.rows[2]));
  ExpectSame(cut, SampleWhole(logits, rows));
}

// A group whose peers are lost: calls return at once and leave garbage.
class LostGroup : public SoloGroup {
 public:
  int size() const override { return 2; }
  void AllGather(std::span<const std::byte>, std::span<const size_t>,
                 std::span<std::byte> all) override {
    std::fill(all.begin(), all.end(), std::byte{0xff});
  }
  absl::Status status() const override {
    return absl::UnavailableError("rank 1 is gone");
  }
};

TEST(SampleTest, AFaultOfTheGroupIsSurvived) {
  Random random(15);
  HostMatrix<float> logits(1, 512, RandomLogits(512, Shape::kFlat, random));
  const std::vector<LogitsRow> rows = {DrawRow({.top_p = 0.9f}, 0, 5)};
  std::vector<SampledRow> out(1);
  LostGroup group;
  SampleRows(logits.view(), rows, {1000, {512, 1000}}, ReferenceRowKernels(),
             group, out);
  EXPECT_EQ(out[0].token_id, -1);
}

TEST(MergeLogSumExpTest, OneValueIsItself) {
  EXPECT_EQ(MergeLogSumExp(std::vector{3.5f}), 3.5f);
  EXPECT_NEAR(MergeLogSumExp(std::vector{1.0f, 1.0f}), 1.0 + std::log(2.0),
              1e-6);
}

TEST(CountKeptTest, SaysWhenTheCandidatesDoNotSuffice) {
  const std::vector<Candidate> sorted = {{0, 1.0f}, {1, 0.5f}, {2, 0.0f}};
  const std::vector<float> lse = {1.8f};
  EXPECT_EQ(CountKept({.top_k = 2}, sorted, 3, 10, lse), 2u);
  EXPECT_EQ(CountKept({.top_k = 4}, sorted, 3, 10, lse), std::nullopt);
  EXPECT_EQ(CountKept({.top_p = 0.99f}, sorted, 3, 10, lse), std::nullopt);
  EXPECT_EQ(CountKept({.top_p = 0.4f}, sorted, 3, 10, lse), 1u);
  // Masses that never reach top_p keep everything.
  EXPECT_EQ(CountKept({.top_p = 0.99f}, sorted, 3, 3, std::vector{5.0f}), 3u);
}

}  // namespace
}  // namespace quatrain
