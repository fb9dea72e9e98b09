#include "kernels/device_memory.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quatrain {
namespace {

using ::testing::HasSubstr;

TEST(DeviceMemoryTest, CountsByTagAndGivesBack) {
  DeviceMemory memory(0);
  {
    auto weights = memory.Allocate(1000, "weights");
    auto kv = memory.Allocate(500, "kv");
    ASSERT_TRUE(weights.ok() && kv.ok());
    EXPECT_EQ(memory.used_bytes(), 1500);
    EXPECT_EQ(memory.used_bytes_by_tag().at("kv"), 500);
    DeviceBuffer moved = *std::move(kv);
    EXPECT_EQ(memory.used_bytes(), 1500);
    moved = DeviceBuffer();
    EXPECT_EQ(memory.used_bytes(), 1000);
  }
  EXPECT_EQ(memory.used_bytes(), 0);
}

TEST(DeviceMemoryTest, MemoryIsZeroAndOnPageBoundaries) {
  DeviceMemory memory(0);
  auto buffer = memory.Allocate(3 << 20, "kv");
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 4096, 0u);
  EXPECT_TRUE(std::all_of(buffer->data(), buffer->data() + buffer->size(),
                          [](std::byte b) { return b == std::byte{0}; }));
  std::fill_n(buffer->data(), buffer->size(), std::byte{1});
}

TEST(DeviceMemoryTest, RefusesWhatPassesTheLimit) {
  DeviceMemory memory(10000);
  auto weights = memory.Allocate(9000, "weights");
  ASSERT_TRUE(weights.ok());
  const auto kv = memory.Allocate(1001, "kv");
  EXPECT_EQ(kv.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(kv.status().message(),
            "device memory: 1001 bytes for kv do not fit, the limit is 10000, "
            "weights hold 9000");
  EXPECT_TRUE(memory.Allocate(1000, "kv").ok());
  *weights = DeviceBuffer();
  EXPECT_TRUE(memory.Allocate(10000, "kv").ok());
}

TEST(DeviceMemoryTest, WhatTheSystemRefusesIsNotCounted) {
  DeviceMemory memory(0);
  const auto buffer = memory.Allocate(size_t{1} << 62, "kv");
  EXPECT_EQ(buffer.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(buffer.status().message()),
              HasSubstr("the system refused"));
  EXPECT_EQ(memory.used_bytes(), 0);
}

TEST(DeviceMemoryTest, NothingIsNoAllocation) {
  DeviceMemory memory(1);
  const auto buffer = memory.Allocate(0, "kv");
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(buffer->size(), 0u);
}

}  // namespace
}  // namespace quatrain
