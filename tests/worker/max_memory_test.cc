#include "worker/max_memory.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quatrain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(MaxMemoryTest, SharesTheBudgetOfAProcess) {
  EXPECT_THAT(*ParseMaxMemory("cpu=1GiB", 2),
              ElementsAre(int64_t{1} << 29, int64_t{1} << 29));
}

TEST(MaxMemoryTest, GivesEachRankItsOwn) {
  EXPECT_THAT(*ParseMaxMemory("1=2KB,0=1KiB", 2), ElementsAre(1024, 2000));
}

TEST(MaxMemoryTest, HasADefault) {
  const auto limits = ParseMaxMemory("", 2);
  ASSERT_EQ(limits->size(), 2u);
  EXPECT_GT(limits->at(0), 0);
}

TEST(MaxMemoryTest, RefusesWhatIsNotClear) {
  for (const auto& [text, message] :
       {std::pair{"1GiB", "expected KEY=SIZE"},
        std::pair{"cpu=1GiB,0=1GiB", "cpu alone"},
        std::pair{"2=1GiB", "a rank of this process in 0..1"},
        std::pair{"0=1GiB", "more than 0 bytes for rank 1"},
        std::pair{"0=1GiB,0=1GiB", "every rank once"},
        std::pair{"cpu=40gb", "40gb"}, std::pair{"cpu=0", "more than 0"},
        std::pair{"disk=1GiB", "expected cpu"}}) {
    SCOPED_TRACE(text);
    const absl::Status status = ParseMaxMemory(text, 2).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
}

}  // namespace
}  // namespace quatrain
