#include "model/layout.h"

#include <numeric>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/model/model_folder.h"

namespace quatrain {
namespace {

using testing::ElementsAre;

std::string ErrorOf(const LayoutFlags& flags, int num_layers = 80) {
  return MessageOf(MakeLayout(flags, num_layers).status());
}

TEST(LayoutTest, WithoutFlagsIsOneRank) {
  const Layout layout = *MakeLayout({}, 8);
  EXPECT_EQ(layout.num_ranks(), 1);
  EXPECT_EQ(layout.stages[0].layers, (Range{0, 8}));
}

TEST(LayoutTest, EqualStagesDifferByOneLayerAtMost) {
  const Layout layout = *MakeLayout({.tp = 2, .pp = 3}, 8);
  EXPECT_EQ(Describe(layout),
            "layers 0-2 tp 2; layers 3-5 tp 2; layers 6-7 tp 2");
  EXPECT_EQ(layout.num_ranks(), 6);
}

TEST(LayoutTest, ExplicitStagesMayDiffer) {
  const Layout layout =
      *MakeLayout({.layers = "0-39;40-79", .tp_shares = "3,2,1;1,1"}, 80);
  EXPECT_EQ(Describe(layout), "layers 0-39 tp 3 (3,2,1); layers 40-79 tp 2");
  EXPECT_EQ(layout.num_ranks(), 5);
  EXPECT_EQ(layout.StageOf(2), 0);
  EXPECT_EQ(layout.StageOf(3), 1);
  EXPECT_EQ(layout.TpRankOf(4), 1);
  EXPECT_EQ(layout.FirstRankOf(1), 3);
  EXPECT_EQ(Describe(*MakeLayout({.tp = 2, .layers = "0;1-2"}, 3)),
            "layers 0 tp 2; layers 1-2 tp 2");
}

TEST(LayoutTest, WrongCountsAreRefused) {
  EXPECT_EQ(ErrorOf({.tp = -1}), "--tp -1: expected 1 or more");
  EXPECT_EQ(ErrorOf({.tp = 2000}), "--tp 2000: at most 1024 ranks work");
  EXPECT_EQ(ErrorOf({.pp = -2}), "--pp -2: expected 1 or more");
  EXPECT_EQ(ErrorOf({.pp = 9}, 8),
            "--pp 9: the model has 8 layers, so at most 8 stages");
  EXPECT_EQ(ErrorOf({.pp = 3, .layers = "0-39;40-79"}),
            "--layers 0-39;40-79: 2 stages, --pp says 3");
  EXPECT_EQ(ErrorOf({.pp = 2, .tp_shares = "1,1"}),
            "--tp-shares 1,1: shares of 1 stages, expected 2 (\";\" between "
            "stages)");
  EXPECT_EQ(ErrorOf({.tp = 2, .tp_shares = "3,2,1"}),
            "--tp-shares 3,2,1: 3 shares in a stage, --tp says 2");
}

TEST(LayoutTest, BadSharesAreRefused) {
  EXPECT_EQ(ErrorOf({.tp_shares = "1,-2"}), "--tp-shares 1,-2: -2 is negative");
  EXPECT_EQ(ErrorOf({.tp_shares = "0,0"}),
            "--tp-shares 0,0: all shares of a stage are zero");
  EXPECT_EQ(ErrorOf({.tp_shares = "1,x"}),
            "--tp-shares 1,x: \"x\" is no share, expected a whole number");
  EXPECT_EQ(ErrorOf({.tp_shares = "1,,1"}),
            "--tp-shares 1,,1: \"\" is no share, expected a whole number");
  EXPECT_EQ(ErrorOf({.tp_shares = "1.5"}),
            "--tp-shares 1.5: \"1.5\" is no share, expected a whole number");
  EXPECT_EQ(ErrorOf({.tp_shares = "1,1000001"}),
            "--tp-shares 1,1000001: 1000001, at most 1000000 works");
}

TEST(LayoutTest, LayersMustBeCoveredExactlyOnce) {
  EXPECT_EQ(ErrorOf({.layers = "0-39;41-79"}),
            "--layers 0-39;41-79: layer 40 is in no stage");
  EXPECT_EQ(ErrorOf({.layers = "0-40;40-79"}),
            "--layers 0-40;40-79: layer 40 is in two stages or out of order");
  EXPECT_EQ(ErrorOf({.layers = "40-79;0-39"}),
            "--layers 40-79;0-39: layer 0 is in no stage");
  EXPECT_EQ(ErrorOf({.layers = "0-39"}),
            "--layers 0-39: layer 40 is in no stage");
  EXPECT_EQ(ErrorOf({.layers = "0-80"}),
            "--layers 0-80: \"0-80\", the model has layers 0-79");
  EXPECT_EQ(ErrorOf({.layers = "0-79;"}),
            "--layers 0-79;: \"\" is no range, expected FIRST-LAST");
  EXPECT_EQ(ErrorOf({.layers = "9-3"}),
            "--layers 9-3: \"9-3\", the model has layers 0-79");
}

TEST(LayoutTest, APeersLayoutIsCheckedToo) {
  EXPECT_EQ(MessageOf(CheckLayout({}, 4)), "layout: layer 0 is in no stage");
  EXPECT_EQ(MessageOf(CheckLayout({{{{0, 4}, {}}}}, 4)),
            "layout: layers 0-3: no share");
  EXPECT_EQ(MessageOf(CheckLayout({{{{0, 4}, {1, -1}}}}, 4)),
            "layout: layers 0-3: -1 is negative");
  EXPECT_EQ(MessageOf(CheckLayout({{{{0, 5}, {1}}}}, 4)),
            "layout: layer 4, the model has layers 0-3");
  EXPECT_EQ(MessageOf(CheckLayout({{{{0, 0}, {1}}, {{0, 4}, {1}}}}, 4)),
            "layout: a stage without layers");
  EXPECT_TRUE(CheckLayout({{{{0, 4}, {1}}}}, 4).ok());
}

TEST(ApportionTest, GivesTiesToTheLowerRank) {
  EXPECT_THAT(Apportion(231, {1, 1}), ElementsAre(116, 115));
  EXPECT_THAT(Apportion(5, {1, 1, 1}), ElementsAre(2, 2, 1));
  EXPECT_THAT(Apportion(2, {1, 1, 1}), ElementsAre(1, 1, 0));
  EXPECT_THAT(Apportion(10, {0, 1, 0}), ElementsAre(0, 10, 0));
  EXPECT_THAT(Apportion(112, {3, 2, 1}), ElementsAre(56, 37, 19));
}

TEST(ApportionTest, GivesEveryUnitAwayAndNobodyMoreThanItsShareRoundedUp) {
  std::mt19937 random(7);
  for (int round = 0; round < 10'000; ++round) {
    std::vector<int64_t> shares(1 + random() % 8);
    for (int64_t& share : shares) share = random() % 4;
    shares[0] += 1;
    const int units = static_cast<int>(random() % 300);
    const std::vector<int> parts = Apportion(units, shares);
    const int64_t total =
        std::accumulate(shares.begin(), shares.end(), int64_t{0});
    EXPECT_EQ(std::accumulate(parts.begin(), parts.end(), 0), units);
    for (size_t i = 0; i < parts.size(); ++i) {
      EXPECT_GE(parts[i], units * shares[i] / total);
      EXPECT_LE(parts[i], (units * shares[i] + total - 1) / total);
    }
  }
}

}  // namespace
}  // namespace quatrain
