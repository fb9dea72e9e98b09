// SentencePiece files of our own making, whole and broken.

#include "model/tokenizer/sentencepiece_model.h"

#include <bit>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "model/tokenizer/tokenizer.h"

namespace quatrain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The protobuf wire format, as far as these files use it.
std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7)
    bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}
std::string Number(int field, uint64_t value) {
  return Varint(field << 3) + Varint(value);
}
std::string Bytes(int field, const std::string& bytes) {
  return Varint(field << 3 | 2) + Varint(bytes.size()) + bytes;
}
std::string Float(int field, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  std::string bytes = Varint(field << 3 | 5);
  for (int i = 0; i < 4; ++i)
    bytes.push_back(static_cast<char>(bits >> (8 * i)));
  return bytes;
}
std::string Piece(const std::string& text, float score, int type = 1) {
  return Bytes(1, Bytes(1, text) + Float(2, score) + Number(3, type));
}
std::string Trainer(int model_type) { return Bytes(2, Number(3, model_type)); }
std::string NormalizerSpec(bool dummy_prefix, bool remove_extra,
                           const std::string& charsmap = "") {
  return Bytes(3, Bytes(1, "identity") + Bytes(2, charsmap) +
                      Number(3, dummy_prefix) + Number(4, remove_extra) +
                      Number(5, true));
}
std::string Pieces() {
  return Piece("<unk>", 0, 2) + Piece("<s>", 0, 3) + Piece("</s>", 0, 3) +
         Piece("<tool>", 0, 4) + Piece("ab", -1) + Piece("bc", -2) +
         Piece("a", -3) + Piece("b", -4) + Piece("c", -5) + Piece("\u2581", -6);
}
std::string Model() {
  return Pieces() + Trainer(2) + NormalizerSpec(true, false);
}

absl::Status LoadStatus(const std::string& bytes) {
  return Tokenizer::FromModel(bytes).status();
}

TEST(SentencePieceModelTest, ScoresAreTheOrderOfMerges) {
  const auto tokenizer = Tokenizer::FromModel(Model());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(*(*tokenizer)->Encode("abc", true), ElementsAre(1, 9, 4, 8));
  EXPECT_THAT(*(*tokenizer)->Encode("a<tool>x", false),
              ElementsAre(9, 6, 3, 9, 0));
  EXPECT_FALSE((*tokenizer)->IsSpecial(3));
  EXPECT_TRUE((*tokenizer)->IsSpecial(0));
}

TEST(SentencePieceModelTest, NoDummyPrefix) {
  const auto tokenizer = Tokenizer::FromModel(Pieces() + Trainer(2) +
                                              NormalizerSpec(false, false));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(*(*tokenizer)->Encode("a b", false), ElementsAre(6, 9, 7));
  EXPECT_EQ((*tokenizer)->Decode(std::vector<int32_t>{9, 7}), " b");
}

TEST(SentencePieceModelTest, OtherKindsAreRefusedByName) {
  const auto expect = [](const std::string& bytes, const std::string& what) {
    const absl::Status status = LoadStatus(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
    EXPECT_EQ(status.message(),
              "tokenizer.model: " + what + " is not supported");
  };
  expect(Pieces() + Trainer(1) + NormalizerSpec(true, false),
         "model_type 1 (only 2, BPE, is)");
  expect(Pieces() + Trainer(2) + NormalizerSpec(true, true),
         "remove_extra_whitespaces");
  expect(Pieces() + Trainer(2) + NormalizerSpec(true, false, "map"),
         "normalizer \"identity\"");
  EXPECT_THAT(std::string(LoadStatus("IQ== 0\nIg== 1\n").message()),
              HasSubstr("a tiktoken vocabulary of 2 tokens is not supported"));
  EXPECT_EQ(LoadStatus("IQ== 0\nIg== 2\n").message(),
            "tokenizer.model: line 2: rank 2, expected 1");
  EXPECT_EQ(LoadStatus("IQ== 0\nI== x\n").message(),
            "tokenizer.model: line 2: expected a token in base64 and its rank");
}

TEST(SentencePieceModelTest, BrokenFilesAreRefused) {
  const std::string model = Model();
  EXPECT_THAT(std::string(LoadStatus("").message()), HasSubstr("no pieces"));
  EXPECT_THAT(std::string(LoadStatus("hello").message()),
              HasSubstr("not a SentencePiece model"));
  for (size_t size = 1; size < model.size(); ++size)
    EXPECT_FALSE(LoadStatus(model.substr(0, size)).ok()) << size;
  EXPECT_THAT(std::string(LoadStatus(model + Piece("", 0)).message()),
              HasSubstr("piece 10 is empty"));
  EXPECT_THAT(std::string(LoadStatus(model + Piece("\xff", 0)).message()),
              HasSubstr("piece 10 is empty or not UTF-8"));
  EXPECT_THAT(std::string(LoadStatus(model + Piece("z", 0, 9)).message()),
              HasSubstr("piece 10 is of type 9"));
  EXPECT_THAT(std::string(LoadStatus(model + Piece("a", 0)).message()),
              HasSubstr("token \"a\" has ids 6 and 10"));
  EXPECT_THAT(
      std::string(
          LoadStatus(model + Piece(std::string(2000, 'a'), 0)).message()),
      HasSubstr("piece 10 has 2000 bytes, at most 1024"));
  EXPECT_THAT(std::string(LoadStatus(model + Piece("<u>", 0, 2)).message()),
              HasSubstr("two unknown pieces"));
}

TEST(SentencePieceModelTest, DamagedBytesNeverCrash) {
  std::ifstream file("examples/tales-8m-awq/tokenizer.model", std::ios::binary);
  const std::string model{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(model.empty());
  std::mt19937 random(9);
  for (int i = 0; i < 60; ++i) {
    std::string damaged = model;
    for (int j = 0; j < 3; ++j)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    const auto tokenizer = Tokenizer::FromModel(damaged);
    if (!tokenizer.ok()) continue;
    EXPECT_TRUE((*tokenizer)->Encode("Once", true).ok());
  }
}

}  // namespace
}  // namespace quatrain
