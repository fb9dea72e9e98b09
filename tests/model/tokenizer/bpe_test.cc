// Merging against the definition, in random vocabularies.

#include "model/tokenizer/bpe.h"

#include <map>
#include <random>
#include <set>
#include <string>

#include "gmock/gmock.h"

namespace quatrain {
namespace {

using ::testing::ElementsAre;
using Merges = std::vector<std::pair<std::string, std::string>>;
using Ids = std::vector<int32_t>;

struct Model {
  std::vector<std::string> texts;  // by id
  Merges merges;
};

BpeModel Build(const Model& model, const BpeOptions& options) {
  BpeModel::Vocab vocab;
  for (size_t id = 0; id < model.texts.size(); ++id)
    vocab.emplace(model.texts[id], static_cast<int32_t>(id));
  const std::vector<std::pair<std::string_view, std::string_view>> merges(
      model.merges.begin(), model.merges.end());
  auto bpe = BpeModel::Build(vocab, merges, options);
  EXPECT_TRUE(bpe.ok()) << bpe.status();
  return *std::move(bpe);
}

Ids Encode(const BpeModel& bpe, std::string_view piece) {
  BpeModel::Scratch scratch;
  Ids ids;
  bpe.Encode(piece, &scratch, &ids);
  return ids;
}

// The definition: of all neighbours that a merge joins, join the pair of the
// lowest rank, the leftmost of these; again until there is none.
std::vector<std::string> MergeNaively(const Model& model,
                                      std::vector<std::string> parts) {
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t rank = 0; rank < model.merges.size(); ++rank)
    ranks[model.merges[rank]] = rank;
  for (;;) {
    size_t best = ranks.size() + model.merges.size(), at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find({parts[i], parts[i + 1]});
      if (found != ranks.end() && found->second < best)
        best = found->second, at = i;
    }
    if (best >= model.merges.size()) return parts;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + at + 1);
  }
}

Model RandomModel(std::mt19937* random) {
  Model model{{"a", "b", "c", "\u2581"}, {}};
  std::set<std::string> known(model.texts.begin(), model.texts.end());
  for (int i = 0; i < 60; ++i) {
    const std::string left = model.texts[(*random)() % model.texts.size()];
    const std::string right = model.texts[(*random)() % model.texts.size()];
    if (left.size() + right.size() > 40) continue;
    model.merges.push_back({left, right});
    if (known.insert(left + right).second) model.texts.push_back(left + right);
  }
  return model;
}

TEST(BpeTest, EqualsTheDefinitionOnShortAndLongPieces) {
  std::mt19937 random(1);
  for (int i = 0; i < 600; ++i) {
    const Model model = RandomModel(&random);
    const BpeModel bpe = Build(model, {});
    const int length = i % 3 == 0 ? 200 : random() % 40;
    std::string piece;
    std::vector<std::string> parts;
    for (int j = 0; j < length; ++j)
      piece += parts.emplace_back(model.texts[random() % 4]);
    std::vector<std::string> found;
    for (const int32_t id : Encode(bpe, piece))
      found.push_back(model.texts[id]);
    ASSERT_EQ(found, MergeNaively(model, parts)) << piece;
  }
}

TEST(BpeTest, TheLaterOfTwoEqualMergesHolds) {
  const Model model{{"a", "b", "c", "ab", "bc"},
                    {{"a", "b"}, {"b", "c"}, {"a", "b"}}};
  EXPECT_THAT(Encode(Build(model, {}), "abc"), ElementsAre(0, 4));
}

TEST(BpeTest, IgnoreMergesTakesWholePieces) {
  const Model model{{"a", "b", "ab"}, {}};
  EXPECT_THAT(Encode(Build(model, {}), "ab"), ElementsAre(0, 1));
  EXPECT_THAT(Encode(Build(model, {.ignore_merges = true}), "ab"),
              ElementsAre(2));
}

TEST(BpeTest, UnknownCharacters) {
  const Model model{{"a", "<unk>", "<0xC3>", "<0xA9>"}, {}};
  EXPECT_THAT(Encode(Build(model, {}), "a\u00e9a"), ElementsAre(0, 0));
  EXPECT_THAT(Encode(Build(model, {.byte_fallback = true}), "a\u00e9a"),
              ElementsAre(0, 2, 3, 0));
  EXPECT_THAT(Encode(Build(model, {.unk_token = 1}), "\u00e9\u00e8a"),
              ElementsAre(1, 1, 0));
  EXPECT_THAT(
      Encode(Build(model, {.unk_token = 1, .fuse_unk = true}), "\u00e9\u00e8a"),
      ElementsAre(1, 0));
  // U+00E8 has a byte without a token.
  EXPECT_THAT(
      Encode(Build(model, {.byte_fallback = true, .unk_token = 1}), "\u00e8a"),
      ElementsAre(1, 0));
}

TEST(BpeTest, MergesOfUnknownTokensAreRefused) {
  const BpeModel::Vocab vocab = {{"a", 0}, {"b", 1}};
  EXPECT_EQ(BpeModel::Build(vocab, {{"a", "x"}}, {}).status().message(),
            "merge 0 (\"a\" \"x\"): \"x\" is not in the vocabulary");
  EXPECT_EQ(BpeModel::Build(vocab, {{"a", "b"}}, {}).status().message(),
            "merge 0 (\"a\" \"b\"): \"ab\" is not in the vocabulary");
}

}  // namespace
}  // namespace quatrain
