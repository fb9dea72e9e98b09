#include "model/tokenizer/split_pattern.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "model/tokenizer/regex_dialect.h"

namespace quatrain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Matches(const SplitPattern& pattern,
                                 const std::string& text) {
  std::vector<MatchRange> ranges;
  EXPECT_TRUE(pattern.FindAll(text, &ranges).ok());
  std::vector<std::string> matches;
  for (const auto& [begin, end] : ranges)
    matches.push_back(text.substr(begin, end - begin));
  return matches;
}

std::vector<std::string> RegexMatches(const std::string& regex,
                                      const std::string& text) {
  const auto pattern = Pcre2Pattern(regex);
  EXPECT_TRUE(pattern.ok()) << pattern.status();
  return pattern.ok() ? Matches(**pattern, text) : std::vector<std::string>{};
}

TEST(SplitPatternTest, LiteralMatchesDoNotOverlap) {
  EXPECT_THAT(Matches(*LiteralPattern("aa"), "aaaaa"), ElementsAre("aa", "aa"));
}

TEST(SplitPatternTest, WhiteSpaceIsUnicodesNotPcres) {
  // U+180E is no white space, U+0085 and U+3000 are.
  EXPECT_THAT(RegexMatches("\\s", "a\u180e\u0085b\u3000"),
              ElementsAre("\u0085", "\u3000"));
  EXPECT_THAT(RegexMatches("[^\\s]+", "a\u180eb c"),
              ElementsAre("a\u180eb", "c"));
  EXPECT_THAT(RegexMatches("[\\S]+", "a\u180eb c"),
              ElementsAre("a\u180eb", "c"));
}

TEST(SplitPatternTest, WordCharactersIncludeMarks) {
  EXPECT_THAT(RegexMatches("\\w+", "e\u0301_1 \u00bd"),
              ElementsAre("e\u0301_1"));
  EXPECT_THAT(RegexMatches("[\\w-]+", "a-b c"), ElementsAre("a-b", "c"));
  EXPECT_THAT(RegexMatches("\\W", "a-b"), ElementsAre("-"));
}

TEST(SplitPatternTest, DollarMatchesAtLineEnds) {
  EXPECT_THAT(RegexMatches("a$", "a\nba"), ElementsAre("a", "a"));
}

TEST(SplitPatternTest, EmptyMatchesAdvance) {
  EXPECT_THAT(RegexMatches("x*", "a\u00e9x"), ElementsAre("", "", "x"));
}

TEST(SplitPatternTest, UnicodeEscapesAreTranslated) {
  EXPECT_THAT(RegexMatches("[\\u4e00-\\u9fa5]+", "ab\u4e2d\u6587c"),
              ElementsAre("\u4e2d\u6587"));
}

TEST(SplitPatternTest, ConstructsOfAnotherMeaningAreRefusedByName) {
  for (const char* regex : {"\\h", "[a&&b]", "[a[bc]]", "(?m:a)", "\\R", "\\1",
                            "(?<name>a)", "[\\W]", "\\v", "a\\", "[]a]",
                            "\\u12", "\\b", "\\K", "(?#c)", "(?R)"}) {
    const auto pattern = RegexPattern(regex);
    EXPECT_EQ(pattern.status().code(), absl::StatusCode::kUnimplemented)
        << regex << ": " << pattern.status();
    EXPECT_THAT(std::string(pattern.status().message()), HasSubstr(regex));
  }
}

TEST(SplitPatternTest, PatternsThatDoNotCompileAreRefused) {
  for (const char* regex : {"(", "a)", "[a", "*", "\\p{Nonsense}", "a{2,1}"})
    EXPECT_EQ(RegexPattern(regex).status().code(),
              absl::StatusCode::kInvalidArgument)
        << regex;
  EXPECT_FALSE(RegexPattern(std::string(100'000, 'a')).ok());
}

TEST(SplitPatternTest, ExceedingTheLimitsFailsTheTextNotTheProcess) {
  const auto pattern = RegexPattern("(?:a|aa)+[bc]");
  ASSERT_TRUE(pattern.ok()) << pattern.status();
  std::vector<MatchRange> matches;
  const absl::Status status =
      (*pattern)->FindAll(std::string(4000, 'a'), &matches);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

TEST(SplitPatternTest, DeepNestingOnLongTextIsNoRecursion) {
  const auto pattern = RegexPattern("(?:(?:ab)|c)+");
  ASSERT_TRUE(pattern.ok()) << pattern.status();
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "ab";
  std::vector<MatchRange> matches;
  const absl::Status status = (*pattern)->FindAll(text, &matches);
  if (status.ok()) {
    EXPECT_EQ(matches.size(), 1u);
  } else {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  }
}

}  // namespace
}  // namespace quatrain
