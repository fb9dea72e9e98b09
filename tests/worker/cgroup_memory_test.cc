#include "worker/cgroup_memory.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

class CgroupMemoryTest : public testing::Test {
 protected:
  CgroupMemoryTest() { std::filesystem::remove_all(root_); }
  ~CgroupMemoryTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& file, const std::string& text) {
    const std::filesystem::path path = root_ + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  int64_t Free(const std::string& membership) {
    Write("/membership", membership);
    return CgroupFreeBytes(root_ + "/membership", root_);
  }

  const std::string root_ = testing::TempDir() + "cgroup_memory_test";
};

TEST_F(CgroupMemoryTest, AContainersLimitCountsAndItsCacheGivesWay) {
  Write("/memory.max", "4000000\n");
  Write("/memory.current", "1500000\n");
  Write("/memory.stat", "anon 1000000\nfile 500000\ninactive_file 300000\n");
  EXPECT_EQ(Free("0::/\n"), 4'000'000 - 1'500'000 + 300'000);
}

TEST_F(CgroupMemoryTest, TheTightestOfAllGroupsAboveCounts) {
  Write("/a/memory.max", "1000\n");
  Write("/a/memory.current", "900\n");
  Write("/a/b/memory.max", "max\n");
  Write("/a/b/memory.current", "10\n");
  Write("/a/b/c/memory.max", "500\n");
  Write("/a/b/c/memory.current", "10\n");
  EXPECT_EQ(Free("0::/a/b/c\n"), 100);
  Write("/a/memory.current", "1200\n");
  EXPECT_EQ(Free("0::/a/b/c\n"), 0);
}

TEST_F(CgroupMemoryTest, NoLimitIsNone) {
  EXPECT_EQ(Free("0::/a\n"), kNoCgroupLimit);
  EXPECT_EQ(Free("12:memory:/a\n"), kNoCgroupLimit);  // version 1
  Write("/a/memory.max", "max\n");
  Write("/a/memory.current", "5\n");
  EXPECT_EQ(Free("0::/a\n"), kNoCgroupLimit);
  EXPECT_EQ(CgroupFreeBytes(root_ + "/none", root_), kNoCgroupLimit);
  EXPECT_GT(CgroupFreeBytes(), 0);  // of this machine, whatever it has
}

}  // namespace
}  // namespace quatrain
