#include "base/byte_size.h"

#include <utility>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

class GoodSizeTest
    : public testing::TestWithParam<std::pair<const char*, int64_t>> {};

TEST_P(GoodSizeTest, IsRead) {
  const auto [text, bytes] = GetParam();
  const absl::StatusOr<int64_t> parsed = ParseByteSize(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, bytes);
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, GoodSizeTest,
    testing::Values(std::pair{"0", 0}, std::pair{"79000000000", 79000000000},
                    std::pair{"1KiB", 1024}, std::pair{"40GiB", 42949672960},
                    std::pair{"40giB", 42949672960},
                    std::pair{"40gIB", 42949672960},
                    std::pair{"40GB", 40000000000}, std::pair{"3KB", 3000},
                    std::pair{"2TB", 2000000000000},
                    std::pair{"39.5GiB", 42412802048},
                    std::pair{"0.1KiB", 102},  // floor of 102.4
                    std::pair{"1.999999999999999999GB", 1999999999},
                    std::pair{"1048576TiB", int64_t{1} << 60}));

class BadSizeTest
    : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(BadSizeTest, IsRefusedWithAProposal) {
  const auto [text, message] = GetParam();
  const absl::Status status = ParseByteSize(text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()), message);
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, BadSizeTest,
    testing::Values(
        std::pair{"40gb",
                  "\"40gb\" could mean bits or bytes: write 40GiB "
                  "(powers of 1024) or 40GB (powers of 1000)"},
        std::pair{"40Gb",
                  "\"40Gb\" could mean bits or bytes: write 40GiB "
                  "(powers of 1024) or 40GB (powers of 1000)"},
        std::pair{"40gB",
                  "\"40gB\" could mean bits or bytes: write 40GiB "
                  "(powers of 1024) or 40GB (powers of 1000)"},
        std::pair{"40G",
                  "\"40G\" has no unit that is known: write 40GiB "
                  "(powers of 1024) or 40GB (powers of 1000)"},
        std::pair{"40m",
                  "\"40m\" has no unit that is known: write 40MiB "
                  "(powers of 1024) or 40MB (powers of 1000)"},
        std::pair{"40 GiB",
                  "\"40 GiB\" has a blank inside: write 40GiB "
                  "(powers of 1024) or 40GB (powers of 1000)"},
        std::pair{"40Gib",
                  "\"40Gib\" has no unit that is known: write 40GiB "
                  "(powers of 1024) or 40GB (powers of 1000)"},
        std::pair{"-1GiB", "\"-1GiB\" is negative: a size is 0 or more"},
        std::pair{"nan",
                  "\"nan\" is no size: write 40GiB (powers of 1024) or "
                  "40GB (powers of 1000)"},
        std::pair{"",
                  "\"\" is no size: write 40GiB (powers of 1024) or 40GB "
                  "(powers of 1000)"},
        std::pair{"1.5",
                  "\"1.5\" has no unit: write 1.5GiB (powers of 1024) "
                  "or 1.5GB (powers of 1000)"},
        std::pair{"1.GiB",
                  "\"1.GiB\" is no size: write 40GiB (powers of "
                  "1024) or 40GB (powers of 1000)"},
        std::pair{"1048577TiB",
                  "\"1048577TiB\" is too large: the largest "
                  "size is 1048576TiB (2^60 bytes)"},
        std::pair{"99999999999999999999999999999999999999999999999999",
                  "\"9999999999999999999999999999999999999999\" is too large: "
                  "the largest size is 1048576TiB (2^60 bytes)"}));

TEST(FormatByteSizeTest, RoundsToTwoDecimals) {
  EXPECT_EQ(FormatByteSize(0), "0 bytes");
  EXPECT_EQ(FormatByteSize(1), "1 byte");
  EXPECT_EQ(FormatByteSize(1023), "1023 bytes");
  EXPECT_EQ(FormatByteSize(1536), "1.50 KiB");
  EXPECT_EQ(FormatByteSize(40'000'000'000), "37.25 GiB");
  EXPECT_EQ(FormatByteSize((int64_t{1} << 30) - 1), "1.00 GiB");
}

}  // namespace
}  // namespace quatrain
