// The hand-written scanners against PCRE2 on the same patterns.

#include "model/tokenizer/scanners.h"

#include <unicode/uchar.h>

#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/model/tokenizer/random_text.h"

namespace quatrain {

void PrintTo(const MatchRange& range, std::ostream* out) {
  *out << range.begin << ".." << range.end;
}

namespace {

std::vector<MatchRange> FindAll(const SplitPattern& pattern,
                                const std::string& text) {
  std::vector<MatchRange> matches;
  EXPECT_TRUE(pattern.FindAll(text, &matches).ok());
  return matches;
}

// PCRE2 10.42 has the tables of Unicode 14; ICU's are of 15.
std::string OnlyUnicode14(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = CodePointAt(text, i);
    UVersionInfo age;
    u_charAge(static_cast<UChar32>(c.value), age);
    if (age[0] <= 14) result += text.substr(i, c.length);
    i += c.length;
  }
  return result;
}

class ScannersTest : public ::testing::TestWithParam<std::string_view> {
 protected:
  void ExpectEqual(const std::string& text) {
    EXPECT_EQ(FindAll(*scanner_, text), FindAll(*regex_, text)) << text;
  }

  const std::string pattern_ = std::string(GetParam());
  std::unique_ptr<SplitPattern> scanner_ = *RegexPattern(pattern_);
  std::unique_ptr<SplitPattern> regex_ = *Pcre2Pattern(pattern_);
};

TEST_P(ScannersTest, IsUsedForThisPattern) {
  EXPECT_NE(FindScanner(pattern_), nullptr);
}

TEST_P(ScannersTest, AgreesOnRandomText) {
  std::mt19937 random(20261121);
  for (int i = 0; i < 40'000; ++i) {
    ExpectEqual(OnlyUnicode14(RandomText(&random, random() % 24)));
    if (HasFailure()) return;
  }
}

TEST_P(ScannersTest, AgreesOnAllShortTextsOfItsClasses) {
  const std::string_view alphabet[] = {"a", "7",  "'", "s",      "L",
                                       " ", "\n", "!", "\u00a0", "\t"};
  for (int n = 0; n < 100'000; ++n) {
    std::string text;
    for (int rest = n, i = 0; i < 5; rest /= 10, ++i)
      text += alphabet[rest % 10];
    ExpectEqual(text);
    if (HasFailure()) return;
  }
}

TEST_P(ScannersTest, AgreesOnEveryCharacterInContext) {
  for (char32_t c = 1; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    if (c > 0x20000 && c % 64 != 0) continue;  // CJK, private use
    std::string text = "a ";
    AppendUtf8(c, &text);
    text = OnlyUnicode14(text + " ");
    AppendUtf8(c, &text);
    ExpectEqual(OnlyUnicode14(text + "\n1"));
    if (HasFailure()) return;
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::string_view>& info) {
  const char* names[] = {"Gpt2", "Llama3", "Qwen2", "TrailingSpace"};
  return names[info.index];
}

INSTANTIATE_TEST_SUITE_P(Patterns, ScannersTest,
                         ::testing::Values(kGpt2Pattern, kLlama3Pattern,
                                           kQwen2Pattern,
                                           kTrailingSpacePattern),
                         NameOf);

TEST(FindScannerTest, KnowsPatternsByteForByteOnly) {
  EXPECT_NE(FindScanner("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
                        "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"),
            nullptr);
  EXPECT_EQ(FindScanner(std::string(kGpt2Pattern) + "|x"), nullptr);
  EXPECT_EQ(FindScanner(""), nullptr);
}

}  // namespace
}  // namespace quatrain
