#include "coordinator/stop_matcher.h"

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

struct Outcome {
  std::string text;
  std::optional<std::string> matched;
  bool operator==(const Outcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  return out << "'" << outcome.text << "' matched '"
             << outcome.matched.value_or("(nothing)") << "'";
}

// By definition: the first beginning of any stop string in the whole text, the
// shortest that begins there.
Outcome Naive(const std::string& text, const std::vector<std::string>& stops,
              bool include_stop) {
  size_t begin = std::string::npos;
  const std::string* first = nullptr;
  for (const std::string& stop : stops) {
    const size_t found = text.find(stop);
    if (found == std::string::npos || found > begin) continue;
    if (found == begin && stop.size() > first->size()) continue;
    begin = found;
    first = &stop;
  }
  if (!first) return {text, std::nullopt};
  return {text.substr(0, begin + (include_stop ? first->size() : 0)), *first};
}

// The longest suffix that may still become a stop string.
size_t MustHold(const std::string& text,
                const std::vector<std::string>& stops) {
  size_t hold = 0;
  for (const std::string& stop : stops) {
    for (size_t n = 1; n < stop.size() && n <= text.size(); ++n) {
      if (text.compare(text.size() - n, n, stop, 0, n) == 0)
        hold = std::max(hold, n);
    }
  }
  return hold;
}

class Random {
 public:
  explicit Random(int seed) : engine_(seed) {}
  size_t Below(size_t n) { return engine_() % n; }
  std::string Text(size_t max_size) {
    std::string text(1 + Below(max_size), 'a');
    for (char& c : text) c = static_cast<char>('a' + Below(3));
    return text;
  }

 private:
  std::mt19937 engine_;
};

TEST(StopMatcherTest, EqualsANaiveSearchHoweverTheTextIsCut) {
  Random random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops(1 + random.Below(4));
    for (std::string& stop : stops) stop = random.Text(8);
    const bool include_stop = random.Below(2) == 0;
    const std::string text = random.Text(30);
    StopMatcher matcher(stops, include_stop);
    std::string shown;
    for (size_t at = 0; at < text.size();) {
      const size_t size = 1 + random.Below(5);
      shown += matcher.Push(std::string_view(text).substr(at, size));
      at = std::min(text.size(), at + size);
      const std::string so_far = text.substr(0, at);
      if (!matcher.matched()) {
        ASSERT_EQ(shown.size(), at - MustHold(so_far, stops)) << so_far;
      }
    }
    shown += matcher.Finish();
    ASSERT_EQ((Outcome{shown, matcher.matched()}),
              Naive(text, stops, include_stop))
        << text;
  }
}

TEST(StopMatcherTest, WithoutStopStringsHoldsNothing) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.Push("anything"), "anything");
  EXPECT_EQ(matcher.Finish(), "");
}

TEST(StopMatcherTest, HoldsWholeCharacters) {
  StopMatcher matcher({"\xe2\x82\xac!"});  // "€!"
  EXPECT_EQ(matcher.Push("5 \xe2\x82\xac"), "5 ");
  EXPECT_EQ(matcher.Push("?"), "\xe2\x82\xac?");
}

TEST(StopMatcherTest, TheOneThatStartsFirstWins) {
  StopMatcher together({"b", "ab"});
  EXPECT_EQ(together.Push("xab"), "x");
  EXPECT_EQ(together.matched(), "ab");
  StopMatcher inside({"bc", "abcd"});
  EXPECT_EQ(inside.Push("xabc"), "x");
  EXPECT_EQ(inside.matched(), std::nullopt);  // it may become "abcd"
  EXPECT_EQ(inside.Push("d"), "");
  EXPECT_EQ(inside.matched(), "abcd");
}

TEST(StopMatcherTest, OneThatWaitedWinsIfTheOtherFails) {
  for (const bool include_stop : {false, true}) {
    const std::string end = include_stop ? "abc" : "a";
    StopMatcher goes_on({"abcd", "bc"}, include_stop);
    EXPECT_EQ(goes_on.Push("xabc"), "x");
    EXPECT_EQ(goes_on.Push("e"), end);
    EXPECT_EQ(goes_on.matched(), "bc");
    StopMatcher ends({"abcd", "bc"}, include_stop);
    EXPECT_EQ(ends.Push("xabc"), "x");
    EXPECT_EQ(ends.Finish(), end);
    EXPECT_EQ(ends.matched(), "bc");
    EXPECT_EQ(ends.Finish(), "");
  }
}

TEST(StopMatcherTest, OfThoseThatStartTogetherTheShortestWinsAtOnce) {
  StopMatcher matcher({"abc", "ab"});
  EXPECT_EQ(matcher.Push("xab"), "x");
  EXPECT_EQ(matcher.matched(), "ab");
}

// A stop string that is complete and waits is followed by a NUL.
TEST(StopMatcherTest, ANulIsAByteLikeOthers) {
  StopMatcher matcher({"abcd", "bc"});
  EXPECT_EQ(matcher.Push(std::string_view("xabc\0d", 6)), "xa");
  EXPECT_EQ(matcher.matched(), "bc");
}

TEST(StopMatcherTest, NothingFollowsAMatch) {
  StopMatcher matcher({"end"});
  EXPECT_EQ(matcher.Push("the end of it"), "the ");
  EXPECT_EQ(matcher.Push("more"), "");
  EXPECT_EQ(matcher.Finish(), "");
}

// 256 equal bytes, and text that fails at the last of them each time.
TEST(StopMatcherTest, TimeIsLinearOnHostileText) {
  StopMatcher matcher(
      std::vector<std::string>(16, std::string(255, 'a') + "b"));
  const std::string text(1 << 20, 'a');
  const std::string shown = matcher.Push(text);
  EXPECT_EQ(shown.size(), text.size() - 255);
}

}  // namespace
}  // namespace quatrain
