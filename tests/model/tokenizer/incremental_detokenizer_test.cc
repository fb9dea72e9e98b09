#include "model/tokenizer/incremental_detokenizer.h"

#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "model/tokenizer/unicode.h"
#include "tests/model/tokenizer/small_tokenizer.h"

namespace quatrain {
namespace {

using ::testing::ElementsAre;
using Ids = std::vector<int32_t>;

constexpr const char* kBroken = "\ufffd";

std::vector<std::string> Pieces(const Tokenizer& tokenizer, const Ids& prompt,
                                const Ids& ids, DecodeOptions options = {}) {
  IncrementalDetokenizer stream(&tokenizer, prompt, options);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(stream.Push(id));
  pieces.push_back(stream.Finish());
  return pieces;
}

std::string Joined(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) {
    EXPECT_TRUE(IsValidUtf8(piece));
    text += piece;
  }
  return text;
}

std::unique_ptr<Tokenizer> Bytes() { return MakeTokenizer(ByteLevelJson()); }

// 259 is U+2581, 260 "a", 261 U+2581 and "a".
std::unique_ptr<Tokenizer> SentencePiece() {
  return MakeTokenizer(MetaspaceJson({"\u2581", "a"}, {{"\u2581", "a"}}));
}
constexpr int32_t kBlank = 259, kA = 260, kBlankA = 261;
int32_t Byte(int byte) { return 3 + byte; }

TEST(IncrementalDetokenizerTest, HoldsACharacterUntilItIsWhole) {
  EXPECT_THAT(Pieces(*Bytes(), {}, {'x', 0xE2, 0x82, 0xAC, 'y'}),
              ElementsAre("x", "", "", "\u20ac", "y", ""));
}

TEST(IncrementalDetokenizerTest, BrokenBytesAreReplacedAtOnce) {
  EXPECT_THAT(Pieces(*Bytes(), {}, {0xFF, 0xE2, 0x82, 'y'}),
              ElementsAre(kBroken, "", "", std::string(kBroken) + "y", ""));
}

TEST(IncrementalDetokenizerTest, FinishFlushesWhatNeverBecameWhole) {
  EXPECT_THAT(Pieces(*Bytes(), {}, {'x', 0xF0, 0x9F}),
              ElementsAre("x", "", "", kBroken));
}

TEST(IncrementalDetokenizerTest, TheBlankAfterThePromptIsKept) {
  const auto tokenizer = SentencePiece();
  EXPECT_THAT(Pieces(*tokenizer, {}, {kBlankA}), ElementsAre("a", ""));
  EXPECT_THAT(Pieces(*tokenizer, {1}, {kBlankA}), ElementsAre("a", ""));
  EXPECT_THAT(Pieces(*tokenizer, {1, kBlankA}, {kBlankA}),
              ElementsAre(" a", ""));
  // A prompt that is only the stripped blank is past the start, too.
  EXPECT_THAT(Pieces(*tokenizer, {1, kBlank}, {kBlankA}),
              ElementsAre(" a", ""));
}

TEST(IncrementalDetokenizerTest, SpecialTokensAsAsked) {
  const auto tokenizer = SentencePiece();
  EXPECT_THAT(Pieces(*tokenizer, {kA}, {kBlankA, 2}),
              ElementsAre(" a", "", ""));
  EXPECT_THAT(
      Pieces(*tokenizer, {kA}, {kBlankA, 2}, {.skip_special_tokens = false}),
      ElementsAre(" a", "</s>", ""));
}

TEST(IncrementalDetokenizerTest, IdsOutsideTheVocabularyAreNothing) {
  EXPECT_THAT(Pieces(*Bytes(), {}, {-1, 'a', 256, 1 << 30}),
              ElementsAre("", "a", "", "", ""));
}

TEST(IncrementalDetokenizerTest, ByteTokensOfABrokenRunAreReplacedOneByOne) {
  const auto tokenizer = SentencePiece();
  EXPECT_THAT(Pieces(*tokenizer, {kA}, {Byte(0xE2), Byte(0x82), kA}),
              ElementsAre("", "", std::string(kBroken) + kBroken + "a", ""));
  EXPECT_THAT(
      Pieces(*tokenizer, {kA}, {Byte(0xE2), Byte(0x41), Byte(0x41), kA}),
      ElementsAre("", std::string(kBroken) + kBroken, kBroken, "a", ""));
}

TEST(IncrementalDetokenizerTest, ACharacterBegunInThePromptIsFinished) {
  EXPECT_THAT(Pieces(*Bytes(), {'x', 0xE2, 0x82}, {0xAC, 'y'}),
              ElementsAre("\u20ac", "y", ""));
  // If it stays broken, the prompt's text has its U+FFFD already.
  EXPECT_THAT(Pieces(*Bytes(), {'x', 0xE2, 0x82}, {'y'}), ElementsAre("y", ""));
  EXPECT_THAT(Pieces(*Bytes(), {'x', 0xE2}, {}), ElementsAre(""));
}

TEST(IncrementalDetokenizerTest, MetaspaceDecoderDropsTheFirstTokensBlanks) {
  nlohmann::json file = MetaspaceJson({"\u2581", "a"}, {{"\u2581", "a"}});
  file["decoder"] = file["pre_tokenizer"];
  const auto tokenizer = MakeTokenizer(file);
  EXPECT_THAT(Pieces(*tokenizer, {}, {kBlankA, kBlankA}),
              ElementsAre("a", " a", ""));
  EXPECT_THAT(Pieces(*tokenizer, {kA}, {kBlankA}), ElementsAre(" a", ""));
}

TEST(IncrementalDetokenizerTest, NoDecoderPutsBlanksBetween) {
  nlohmann::json file = MetaspaceJson({"a"});
  file.erase("decoder");
  const auto tokenizer = MakeTokenizer(file);
  EXPECT_THAT(Pieces(*tokenizer, {}, {259, 259}), ElementsAre("a", " a", ""));
  EXPECT_EQ(tokenizer->Decode(Ids{259, 259}), "a a");
}

// Whatever the ids and wherever the prompt ends between two characters.
TEST(IncrementalDetokenizerTest, PromptAndPiecesAreTheWholeText) {
  std::mt19937 random(3);
  const auto tokenizer = Bytes();
  for (int i = 0; i < 20'000; ++i) {
    Ids ids(random() % 24);
    for (int32_t& id : ids)
      id = random() % 3 == 0
               ? random() % 256
               : "\xF0\x9F\x98\x80\xE2\x82\xAC"[random() % 7] & 0xFF;
    const size_t cut = random() % (ids.size() + 1);
    const Ids prompt(ids.begin(), ids.begin() + cut);
    const std::string before = tokenizer->Decode(prompt);
    const std::string text =
        Joined(Pieces(*tokenizer, prompt, Ids(ids.begin() + cut, ids.end())));
    const std::string whole = tokenizer->Decode(ids);
    // A character that the border cuts is in the pieces, and as U+FFFD in the
    // prompt's own text.
    if (before + text == whole) continue;
    ASSERT_TRUE(before.ends_with(kBroken));
    ASSERT_EQ(before.substr(0, before.size() - 3) + text, whole);
  }
}

TEST(IncrementalDetokenizerTest, ByteFallbackEqualsDecodeUnlessARunBreaksLate) {
  std::mt19937 random(4);
  const auto tokenizer = SentencePiece();
  for (int i = 0; i < 20'000; ++i) {
    Ids ids;
    for (int j = random() % 12; j > 0; --j) {
      const Ids options[] = {{kA},
                             {kBlankA},
                             {kBlank},
                             {2},
                             {Byte(0xF0), Byte(0x9F), Byte(0x98), Byte(0x80)},
                             {Byte('\n')},
                             {kA, Byte(0x80), Byte(0xE2), kBlank},
                             {kBlank, Byte(0xE2), Byte(0x82), kA}};
      const Ids& some = options[random() % std::size(options)];
      ids.insert(ids.end(), some.begin(), some.end());
    }
    ASSERT_EQ(Joined(Pieces(*tokenizer, {}, ids)), tokenizer->Decode(ids));
    // A prompt that ends in whole characters.
    const Ids prompt = {kBlankA, Byte('\n'), kBlank};
    Ids all = prompt;
    all.insert(all.end(), ids.begin(), ids.end());
    ASSERT_EQ(
        tokenizer->Decode(prompt) + Joined(Pieces(*tokenizer, prompt, ids)),
        tokenizer->Decode(all));
  }
}

}  // namespace
}  // namespace quatrain
