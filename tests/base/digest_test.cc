#include "base/digest.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

uint64_t Digest(uint64_t previous, const std::string& text) {
  return ChainDigest(previous, std::as_bytes(std::span(text)));
}

TEST(DigestTest, IsTheSameOnEveryMachine) {
  EXPECT_EQ(Digest(0, ""), 0xe220a8397b1dcdafu);
}

TEST(DigestTest, SeesEveryByteAndItsPlace) {
  std::set<uint64_t> seen;
  for (int position = 0; position < 40; ++position) {
    for (int value = 0; value < 256; ++value) {
      std::string text(40, 'x');
      text[position] = static_cast<char>(value);
      seen.insert(Digest(7, text));
    }
  }
  EXPECT_EQ(seen.size(), 40u * 255u + 1);  // 'x' itself 40 times
}

TEST(DigestTest, SeesWhereMessagesEnd) {
  EXPECT_NE(Digest(Digest(0, "ab"), "c"), Digest(Digest(0, "a"), "bc"));
  EXPECT_NE(Digest(0, std::string(1, '\0')), Digest(0, std::string(2, '\0')));
  EXPECT_NE(Digest(Digest(0, "a"), "b"), Digest(Digest(0, "b"), "a"));
}

}  // namespace
}  // namespace quatrain
