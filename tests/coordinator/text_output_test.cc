#include "coordinator/text_output.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/coordinator/test_model.h"

namespace quatrain {
namespace {

// Whether `text` is made of whole UTF-8 characters.
bool IsWhole(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const unsigned char lead = static_cast<unsigned char>(text[i]);
    const size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if ((lead & 0xc0) == 0x80 || i + size > text.size()) return false;
    i += size;
  }
  return true;
}

class TextOutputTest : public testing::Test {
 protected:
  TextOutput Make(TextOptions options = {}) {
    return TextOutput(tokenizer_.get(), prompt_, options);
  }

  std::unique_ptr<Tokenizer> tokenizer_ = MakeTestTokenizer();
  std::vector<int32_t> prompt_ = Bytes("prompt");
};

TEST_F(TextOutputTest, ACharacterIsShownWhenItIsWhole) {
  TextOutput output = Make();
  std::vector<std::string> pieces;
  for (int32_t id : Bytes("a\xf0\x9f\x98\x80z")) {
    EXPECT_FALSE(output.Push(id));
    pieces.push_back(output.Take());
  }
  EXPECT_EQ(pieces, (std::vector<std::string>{"a", "", "", "",
                                              "\xf0\x9f\x98\x80", "z"}));
}

TEST_F(TextOutputTest, ABrokenTailBecomesTheReplacementCharacter) {
  TextOutput output = Make();
  output.Push('a');
  output.Push(0xf0);
  output.Push(0x9f);
  EXPECT_EQ(output.Take(), "a");
  output.Finish();
  EXPECT_EQ(output.Take(), "\xef\xbf\xbd");
}

TEST_F(TextOutputTest, TheBlankThatJoinsPromptAndTextIsKept) {
  TextOutput output = Make();
  output.Push(kWorld);
  output.Finish();
  EXPECT_EQ(output.Take(), " world");
}

TEST_F(TextOutputTest, AStopStringAcrossTokensIsCut) {
  TextOutput output = Make({.stop = {"lo wo"}});
  EXPECT_FALSE(output.Push(kHello));
  EXPECT_EQ(output.Take(), "hel");  // "lo" may become the stop string
  EXPECT_TRUE(output.Push(kWorld));
  EXPECT_EQ(output.Take(), "");
  EXPECT_EQ(output.matched_stop(), "lo wo");
}

TEST_F(TextOutputTest, AStopStringMayStay) {
  TextOutput output = Make({.stop = {"lo wo"}, .include_stop_in_output = true});
  output.Push(kHello);
  EXPECT_TRUE(output.Push(kWorld));
  EXPECT_EQ(output.Take(), "hello wo");
}

TEST_F(TextOutputTest, AStopStringInsideALongerOneEndsTheTextAtTheEnd) {
  TextOutput output = Make({.stop = {"hello worm", "lo"}});
  EXPECT_FALSE(output.Push(kHello));  // it may become the longer one
  EXPECT_EQ(output.Take(), "");
  output.Finish();
  EXPECT_EQ(output.Take(), "hel");
  EXPECT_EQ(output.matched_stop(), "lo");
}

TEST_F(TextOutputTest, WhatWasHeldBackComesAtTheEnd) {
  TextOutput output = Make({.stop = {"lo there"}});
  output.Push(kHello);
  EXPECT_EQ(output.Take(), "hel");
  output.Finish();
  EXPECT_EQ(output.Take(), "lo");
}

TEST_F(TextOutputTest, SpecialTokensAreTextOnlyIfAsked) {
  TextOutput hidden = Make();
  hidden.Push(kEos);
  hidden.Finish();
  EXPECT_EQ(hidden.Take(), "");
  TextOutput shown = Make({.skip_special_tokens = false});
  shown.Push(kEos);
  shown.Finish();
  EXPECT_EQ(shown.Take(), "</s>");
}

// Random bytes, broken ones too: every piece is whole, and together they are
// what decoding everything at once gives.
TEST_F(TextOutputTest, PiecesAreWholeAndAddUp) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    TextOutput output = Make();
    std::vector<int32_t> ids;
    std::string text;
    for (int i = 0; i < 60; ++i) {
      ids.push_back(static_cast<int32_t>(random() % kTestVocab));
      output.Push(ids.back());
      const std::string piece = output.Take();
      ASSERT_TRUE(IsWhole(piece));
      text += piece;
    }
    output.Finish();
    text += output.Take();
    ASSERT_EQ(text, tokenizer_->Decode(ids));
  }
}

}  // namespace
}  // namespace quatrain
