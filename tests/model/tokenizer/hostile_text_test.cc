// A mebibyte of what tokenizers are slow on: time must grow with the text, not
// with its square. Each kind of pipeline that checkpoints have is tried.

#include <cstdio>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "model/tokenizer/incremental_detokenizer.h"
#include "model/tokenizer/scanners.h"
#include "tests/model/tokenizer/random_text.h"
#include "tests/model/tokenizer/small_tokenizer.h"

namespace quatrain {
namespace {

using nlohmann::json;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define QUATRAIN_SLOW_BUILD
#endif
#endif
#ifdef QUATRAIN_SLOW_BUILD
constexpr size_t kTextBytes = 1 << 17;  // still minutes for a quadratic step
#else
constexpr size_t kTextBytes = 1 << 20;
#endif
// A quadratic step takes minutes; the linear ones some tenths of a second.
constexpr double kMaxSeconds = 10;

struct HostileText {
  const char* name;
  std::string text;
};

std::string Repeat(std::string_view unit, std::string text = "") {
  while (text.size() + unit.size() <= kTextBytes) text += unit;
  return text;
}

std::vector<HostileText> HostileTexts() {
  std::mt19937 random(7);
  std::string noise;
  while (noise.size() < kTextBytes) noise += RandomText(&random, 1000);
  return {
      {"a", Repeat("a")},
      {"blanks", Repeat(" ")},
      {"blanks then a", Repeat(" ") + "a"},
      {"line feeds", Repeat("\n")},
      {"blank and line feed", Repeat(" \n") + "a"},
      {"digits", Repeat("7")},
      {"punctuation", Repeat("=")},
      {"quotes", Repeat("'")},
      {"family emoji", Repeat("\U0001F468\u200D\U0001F469\u200D\U0001F467")},
      {"unknown bytes", Repeat("\U000F0000")},
      {"U+2581", Repeat("\u2581")},
      {"cjk", Repeat("\u4e2d")},
      {"unordered marks", Repeat("\u0301\u0323", "a")},
      {"decomposing marks", Repeat("\u0344\u0f73", "a")},
      {"hangul parts", Repeat("\u1100\u1161\u11a8")},
      {"bengali parts", Repeat("\u09be", "\u09c7")},
      {"starts of special tokens", Repeat("<s")},
      {"special tokens", Repeat("<s>")},
      {"special tokens and blanks", Repeat("  <s>  ")},
      {"noise", noise},
  };
}

// Merges that double a letter up to 2^16 of it, as vocabularies do for blanks.
std::vector<std::pair<std::string, std::string>> Doubling(
    const std::string& unit) {
  std::vector<std::pair<std::string, std::string>> merges;
  for (std::string half = unit; merges.size() < 10; half += half)
    merges.push_back({half, half});
  return merges;
}

void ExpectLinear(const Tokenizer& tokenizer, bool round_trip) {
  for (const HostileText& hostile : HostileTexts()) {
    const std::clock_t start = std::clock();
    const std::vector<int32_t> ids = EncodeOrDie(tokenizer, hostile.text);
    const std::string text =
        tokenizer.Decode(ids, {.skip_special_tokens = false});
    IncrementalDetokenizer stream(&tokenizer, {},
                                  {.skip_special_tokens = false});
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.Push(id);
    streamed += stream.Finish();
    // Of this process, so that a busy machine makes no difference.
    const double seconds =
        static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("%-28s %8zu ids %6.3f s\n", hostile.name, ids.size(), seconds);
    EXPECT_LT(seconds, kMaxSeconds) << hostile.name;
    EXPECT_TRUE(streamed == text) << hostile.name;
    if (round_trip) {
      EXPECT_TRUE(text == hostile.text) << hostile.name;
    }
  }
}

json SplitThenByteLevel(std::string_view pattern) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"},
             {"pattern", {{"Regex", pattern}}},
             {"behavior", "Isolated"},
             {"invert", false}},
            {{"type", "ByteLevel"},
             {"add_prefix_space", false},
             {"use_regex", false}}}}};
}

json Special() {
  return {{{"id", 266}, {"content", "<s>"}, {"special", true}}};
}

TEST(HostileTextTest, Gpt2) {
  json file = ByteLevelJson(Doubling("a"));
  file["added_tokens"] = Special();
  ExpectLinear(*MakeTokenizer(file), true);
}

TEST(HostileTextTest, Llama3) {
  json file = ByteLevelJson(Doubling("\u0120"));
  file["added_tokens"] = Special();
  file["pre_tokenizer"] = SplitThenByteLevel(kLlama3Pattern);
  file["model"]["ignore_merges"] = true;
  ExpectLinear(*MakeTokenizer(file), true);
}

TEST(HostileTextTest, Qwen2) {
  json file = ByteLevelJson(Doubling("="));
  file["added_tokens"] = Special();
  file["added_tokens"][0]["lstrip"] = true;
  file["added_tokens"][0]["rstrip"] = true;
  file["pre_tokenizer"] = SplitThenByteLevel(kQwen2Pattern);
  file["normalizer"] = {{"type", "NFC"}};
  ExpectLinear(*MakeTokenizer(file), false);
}

TEST(HostileTextTest, OnePieceOfBytes) {
  json file = ByteLevelJson(Doubling("a"));
  file["added_tokens"] = Special();
  file["pre_tokenizer"]["use_regex"] = false;
  file["normalizer"] = {{"type", "NFKD"}};
  ExpectLinear(*MakeTokenizer(file), false);
}

TEST(HostileTextTest, UnknownPatternInPcre2) {
  // o200k's first branch, and a possessive variant of the rest.
  json file = ByteLevelJson(Doubling("a"));
  file["added_tokens"] = Special();
  file["pre_tokenizer"] = SplitThenByteLevel(
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  ExpectLinear(*MakeTokenizer(file), true);
}

TEST(HostileTextTest, DeepSeek) {
  json file = ByteLevelJson(Doubling("a"));
  file["added_tokens"] = Special();
  json steps = json::array();
  for (const char* regex : {"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", R"(\s+$)",
                            "[\u4e00-\u9fa5]+"})
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", regex}}},
                     {"behavior", "Isolated"}});
  steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  steps.push_back({{"type", "ByteLevel"},
                   {"add_prefix_space", false},
                   {"use_regex", false}});
  file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
  ExpectLinear(*MakeTokenizer(file), true);
}

TEST(HostileTextTest, SentencePiece) {
  ExpectLinear(*MakeTokenizer(MetaspaceJson({"\u2581", "a", "\u4e2d"},
                                            Doubling("\u2581"))),
               false);
}

TEST(HostileTextTest, SentencePieceWithoutCutsBetweenWords) {
  auto merges = Doubling("a");
  merges.push_back({"a", "\u2581"});  // merges reach across a blank
  ExpectLinear(*MakeTokenizer(MetaspaceJson({"\u2581", "a"}, merges)), false);
}

TEST(HostileTextTest, TextOverTheLimitIsRefused) {
  const auto tokenizer = MakeTokenizer(ByteLevelJson());
  const auto ids = tokenizer->Encode(std::string((64u << 20) + 1, 'a'), false);
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace quatrain
