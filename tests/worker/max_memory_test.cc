#include "worker/max_memory.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quatrain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kGiB = int64_t{1} << 30;

// The ordinals that a text leaves, and their limits where nothing is scarce.
std::vector<std::pair<int, int64_t>> Limits(const std::string& text,
                                            int num_devices) {
  std::vector<std::pair<int, int64_t>> limits;
  const std::vector<DeviceLimit> devices = *ParseMaxMemory(text, num_devices);
  for (const DeviceLimit& device : devices)
    limits.emplace_back(device.ordinal, device.bytes.value_or(-1));
  return limits;
}

TEST(MaxMemoryTest, SharesTheBudgetOfAProcess) {
  EXPECT_THAT(Limits("cpu=1GiB", 2),
              ElementsAre(std::pair(0, kGiB / 2), std::pair(1, kGiB / 2)));
}

TEST(MaxMemoryTest, GivesEachDeviceItsOwn) {
  EXPECT_THAT(Limits("1=2KB,0=1KiB", 2),
              ElementsAre(std::pair(0, 1024), std::pair(1, 2000)));
}

TEST(MaxMemoryTest, LeavesOutWhatHasNoBytesOrIsNotNamed) {
  EXPECT_THAT(Limits("1=1KiB", 3), ElementsAre(std::pair(1, 1024)));
  EXPECT_THAT(Limits("0=0,2=1KiB", 3), ElementsAre(std::pair(2, 1024)));
}

TEST(MaxMemoryTest, TakesAllDevicesWithoutAFlag) {
  EXPECT_THAT(Limits("", 2), ElementsAre(std::pair(0, -1), std::pair(1, -1)));
}

TEST(MaxMemoryTest, RefusesWhatIsNotClear) {
  for (const auto& [text, message] :
       {std::pair{"1GiB", "expected KEY=SIZE"},
        std::pair{"cpu=1GiB,0=1GiB", "cpu alone"},
        std::pair{"2=1GiB", "a device of this process in 0..1"},
        std::pair{"0=0,1=0", "a device with more than 0 bytes"},
        std::pair{"0=1GiB,0=1GiB", "every device once"},
        std::pair{"cpu=40gb", "40gb"}, std::pair{"cpu=0", "more than 0"},
        std::pair{"cpu=1", "more than 0"},
        std::pair{"gpu=1GiB", "expected cpu, or a device"},
        std::pair{"disk=1GiB", "weights stay in memory"},
        std::pair{"0=1GiB,host=1GiB", "the ranks here are CPUs"}}) {
    SCOPED_TRACE(text);
    const absl::Status status = ParseMaxMemory(text, 2).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
}

TEST(MaxMemoryTest, TakesWhatFitsAsItIs) {
  const MemoryBudget budget =
      BudgetOf(*ParseMaxMemory("0=1GiB,1=3GiB", 2), 4 * kGiB, 2);
  EXPECT_THAT(budget.limits, ElementsAre(kGiB, 3 * kGiB));
  EXPECT_EQ(budget.warning, "");
}

TEST(MaxMemoryTest, LowersTheLargestLimitsToWhatIsFree) {
  const MemoryBudget process =
      BudgetOf(*ParseMaxMemory("cpu=1TiB", 2), 6 * kGiB, 2);
  EXPECT_THAT(process.limits, ElementsAre(3 * kGiB, 3 * kGiB));
  EXPECT_THAT(process.warning, HasSubstr("1.00 TiB"));
  EXPECT_THAT(process.warning, HasSubstr("6.00 GiB"));
  const MemoryBudget devices =
      BudgetOf(*ParseMaxMemory("0=1TiB,1=1GiB,2=1TiB", 3), 5 * kGiB, 3);
  EXPECT_THAT(devices.limits, ElementsAre(2 * kGiB, kGiB, 2 * kGiB));
}

TEST(MaxMemoryTest, SharesHalfOfWhatIsFreeAmongTheRanksOfTheHost) {
  EXPECT_THAT(BudgetOf(*ParseMaxMemory("", 1), 8 * kGiB, 4).limits,
              ElementsAre(kGiB));
  EXPECT_THAT(BudgetOf(*ParseMaxMemory("", 2), 8 * kGiB, 4).limits,
              ElementsAre(kGiB, kGiB));
}

}  // namespace
}  // namespace quatrain
