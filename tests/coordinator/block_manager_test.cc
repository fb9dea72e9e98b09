#include "coordinator/block_manager.h"

#include <map>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

TEST(BlockManagerTest, LastShareGivesTheBlockBack) {
  BlockManager blocks(/*num_blocks=*/2, /*block_size=*/16);

  Block first = blocks.Take();
  Block copy = first;
  EXPECT_EQ(first.num_shares(), 2);
  first = Block();

  EXPECT_EQ(blocks.num_free_blocks(), 1);
  copy = Block();
  EXPECT_EQ(blocks.num_free_blocks(), 2);
}

TEST(BlockManagerTest, MovingABlockMovesItsShare) {
  BlockManager blocks(/*num_blocks=*/1, /*block_size=*/16);

  Block first = blocks.Take();
  Block second = std::move(first);

  EXPECT_EQ(second.num_shares(), 1);
  EXPECT_EQ(blocks.num_free_blocks(), 0);
}

TEST(BlockManagerTest, CountsBlocksForTokens) {
  BlockManager blocks(/*num_blocks=*/1, /*block_size=*/16);
  EXPECT_EQ(blocks.BlocksFor(0), 0);
  EXPECT_EQ(blocks.BlocksFor(1), 1);
  EXPECT_EQ(blocks.BlocksFor(16), 1);
  EXPECT_EQ(blocks.BlocksFor(17), 2);
}

TEST(BlockManagerDeathTest, TakingFromAnEmptyPoolIsABug) {
  BlockManager blocks(/*num_blocks=*/1, /*block_size=*/16);
  const Block only = blocks.Take();
  EXPECT_DEATH(blocks.Take(), "free_");
}

TEST(BlockManagerTest, RandomOperationsLoseNoBlockAndUseNoneTwice) {
  constexpr int kNumBlocks = 50;
  BlockManager blocks(kNumBlocks, /*block_size=*/16);
  std::mt19937 random(1);
  std::vector<Block> held;
  const auto any = [&] { return random() % held.size(); };

  for (int i = 0; i < 100'000; ++i) {
    switch (random() % 4) {
      case 0:
        if (blocks.num_free_blocks() > 0) held.push_back(blocks.Take());
        break;
      case 1:
        if (!held.empty()) held.push_back(held[any()]);
        break;
      case 2:
        if (!held.empty()) held[any()] = held[any()];
        break;
      default:
        if (held.empty()) break;
        std::swap(held[any()], held.back());
        held.pop_back();
        if (!held.empty() && random() % 2 == 0) held.pop_back();
    }
    std::map<int32_t, int> shares;
    for (const Block& block : held) ++shares[block.id()];
    ASSERT_EQ(blocks.num_used_blocks(), static_cast<int>(shares.size()));
    for (const Block& block : held) {
      ASSERT_GE(block.id(), 0);
      ASSERT_LT(block.id(), kNumBlocks);
      ASSERT_EQ(block.num_shares(), shares[block.id()]);
    }
  }

  held.clear();
  EXPECT_EQ(blocks.num_free_blocks(), kNumBlocks);
}

}  // namespace
}  // namespace quatrain
