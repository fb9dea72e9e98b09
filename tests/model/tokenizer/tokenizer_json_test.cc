// What tokenizer.json may say, and the message for everything it may not.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/model/tokenizer/small_tokenizer.h"

namespace quatrain {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::Status LoadStatus(const json& file, std::string_view config = "") {
  return Tokenizer::FromJson(file.dump(), config).status();
}

void ExpectInvalid(const json& file, const std::string& message,
                   std::string_view config = "") {
  const absl::Status status = LoadStatus(file, config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

void ExpectUnimplemented(const json& file, const std::string& message) {
  const absl::Status status = LoadStatus(file);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

json AddedToken(int id, const std::string& content) {
  return {{"id", id}, {"content", content}, {"special", true}};
}

TEST(TokenizerJsonTest, AMinimalFileWorks) {
  const auto tokenizer = MakeTokenizer(ByteLevelJson({{"a", "b"}}));
  EXPECT_EQ(tokenizer->vocab_size(), 257);
  EXPECT_THAT(EncodeOrDie(*tokenizer, "ab c"), ElementsAre(256, ' ', 'c'));
  EXPECT_EQ(tokenizer->TokenText(256), "ab");
  EXPECT_EQ(tokenizer->TokenId("ab"), 256);
  EXPECT_EQ(tokenizer->TokenId("zz"), std::nullopt);
  EXPECT_EQ(tokenizer->TokenText(257), std::nullopt);
  EXPECT_EQ(tokenizer->TokenText(-1), std::nullopt);
  EXPECT_EQ(tokenizer->TokenBytes(0xFF), "\xff");
  EXPECT_EQ(tokenizer->TokenBytes(' '), " ");
  EXPECT_EQ(tokenizer->TokenBytes(999), "");
  EXPECT_EQ(tokenizer->bos_token_id(), std::nullopt);
}

TEST(TokenizerJsonTest, TheTextMustBeUtf8) {
  const auto tokenizer = MakeTokenizer(ByteLevelJson());
  for (const char* text : {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80",
                           "\xf4\x90\x80\x80", "\x80"}) {
    EXPECT_EQ(tokenizer->Encode(text, false).status().message(),
              "text: not valid UTF-8");
  }
  EXPECT_THAT(EncodeOrDie(*tokenizer, std::string_view("a\0b", 3)),
              ElementsAre('a', 0, 'b'));
}

TEST(TokenizerJsonTest, NotJson) {
  for (const char* text : {"", "{", "[]", "null", "{} x", "{\"a\":1,\"a\":2}",
                           "\xff", "{\"model\": }"}) {
    const absl::Status status = Tokenizer::FromJson(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), StartsWith("tokenizer.json"));
  }
}

TEST(TokenizerJsonTest, NestedTooDeep) {
  json file = ByteLevelJson();
  json step = file["pre_tokenizer"];
  for (int i = 0; i < 10; ++i)
    step = {{"type", "Sequence"}, {"pretokenizers", json::array({step})}};
  file["pre_tokenizer"] = step;
  ExpectInvalid(file, "nested deeper than 16");
}

TEST(TokenizerJsonTest, WrongModels) {
  json file = ByteLevelJson();
  file["model"]["type"] = "Unigram";
  ExpectUnimplemented(file, "tokenizer.json: model Unigram: not supported");
  file["model"].erase("type");  // as in old files
  EXPECT_TRUE(LoadStatus(file).ok());
  file["model"]["dropout"] = 0.1;
  ExpectInvalid(file, "dropout is 0.1, expected 0");
  file["model"]["dropout"] = nullptr;
  file["model"]["end_of_word_suffix"] = "</w>";
  ExpectUnimplemented(file, "end_of_word_suffix \"</w>\" is not supported");
  file["model"]["end_of_word_suffix"] = "";
  EXPECT_TRUE(LoadStatus(file).ok());
  file["model"]["unk_token"] = "<unk>";
  ExpectInvalid(file, "unk_token \"<unk>\" is not in the vocabulary");
  file.erase("model");
  ExpectInvalid(file, "\"model\" is missing, expected an object");
}

TEST(TokenizerJsonTest, WrongVocabularies) {
  json file = ByteLevelJson();
  file["model"]["vocab"]["a"] = 5;
  ExpectInvalid(file, "id 5 is both");
  file = ByteLevelJson();
  file["model"]["vocab"]["a"] = 300;
  ExpectInvalid(file, "no token has id 97, the highest is 300");
  for (const json& id : {json(-1), json(1.5), json("7"), json(1ull << 40)}) {
    file["model"]["vocab"]["a"] = id;
    ExpectInvalid(file, "vocab \"a\": expected an id >= 0");
  }
  file["model"]["vocab"]["a"] = 5'000'000;
  ExpectInvalid(file, "has id 5000000, expected 0..3999999");
  file["model"]["vocab"] = json::array();
  ExpectInvalid(file, "\"vocab\" is [], expected an object");
}

TEST(TokenizerJsonTest, WrongMerges) {
  json file = ByteLevelJson();
  for (const json& merge : {json("a"), json("a b c"), json({"a"}), json(1),
                            json({"a", "b", "c"}), json({"a", 1})}) {
    file["model"]["merges"] = json::array({merge});
    ExpectInvalid(file, "merge 0: expected \"left right\"");
  }
  file["model"]["merges"] = json::array({"a b"});
  ExpectInvalid(file, "merge 0 (\"a\" \"b\"): \"ab\" is not in the vocabulary");
}

TEST(TokenizerJsonTest, WrongAddedTokens) {
  json file = ByteLevelJson();
  file["added_tokens"] = json::array({AddedToken(256, "")});
  ExpectInvalid(file, "added_tokens[0]: \"content\"");
  file["added_tokens"] = json::array({AddedToken(256, std::string(1025, 'x'))});
  ExpectInvalid(file, "expected at most 1024 bytes");
  file["added_tokens"] = json::array({AddedToken(258, "<s>")});
  ExpectInvalid(file, "no token has id 256, the highest is 258");
  file["added_tokens"] = json::array({AddedToken(5, "<s>")});
  ExpectInvalid(file, "id 5 is both");
  file["added_tokens"] =
      json::array({AddedToken(256, "<s>"), AddedToken(257, "<s>")});
  ExpectInvalid(file, "added token \"<s>\" twice");
  file["added_tokens"] = json::array({{{"content", "<s>"}}});
  ExpectInvalid(file, "added_tokens[0]: \"id\" is missing");
  json many = json::array();
  for (int i = 0; i < 65'537; ++i)
    many.push_back(AddedToken(256 + i, absl::StrCat("token ", i)));
  file["added_tokens"] = many;
  ExpectInvalid(file, "65537 added tokens, at most 65536");
}

TEST(TokenizerJsonTest, UnknownComponentsAreRefusedByName) {
  for (const char* step :
       {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    json file = ByteLevelJson();
    file[step] = {{"type", "Nonsense"}};
    ExpectUnimplemented(file, absl::StrCat("tokenizer.json: ", step,
                                           " Nonsense: not supported"));
    file[step] = {{"kind", "ByteLevel"}};
    ExpectInvalid(file, "has no \"type\"");
    file[step] = "ByteLevel";
    ExpectInvalid(file, "is string, expected an object");
  }
  json file = ByteLevelJson();
  file["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers", json::array({{{"type", "Precompiled"}}})}};
  ExpectUnimplemented(file, "normalizer Precompiled");
}

TEST(TokenizerJsonTest, WrongParametersOfComponents) {
  json file = ByteLevelJson();
  file["normalizer"] = {
      {"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", "x"}};
  ExpectInvalid(file, "normalizer Replace: \"pattern\" is empty");
  file["normalizer"]["pattern"] = {{"Regex", "("}};
  ExpectInvalid(file, "regex \"(\"");
  file["normalizer"] = {{"type", "Prepend"}};
  ExpectInvalid(file, "normalizer Prepend: \"prepend\": expected a string");
  file = ByteLevelJson();
  file["pre_tokenizer"]["use_regex"] = 1;
  ExpectInvalid(file, "\"use_regex\" is number, expected true or false");
  file["pre_tokenizer"] = {{"type", "Split"},
                           {"pattern", {{"String", "x"}}},
                           {"behavior", "Sideways"}};
  ExpectInvalid(file, "\"behavior\" is \"Sideways\"");
  file["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "ab"}};
  ExpectInvalid(file, "\"replacement\": expected one character");
  file["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       json::array({{{"type", "ByteLevel"}}, {{"type", "ByteLevel"}}})}};
  ExpectInvalid(file, "ByteLevel: after ByteLevel is not supported");
  file = ByteLevelJson();
  file["decoder"] = {{"type", "Sequence"},
                     {"decoders", json::array({{{"type", "Fuse"}},
                                               {{"type", "ByteFallback"}}})}};
  ExpectInvalid(file, "decoder ByteFallback: is not supported at this place");
  file = ByteLevelJson();
  file["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", json::array()}};
  ExpectInvalid(file, "has the sequence A 0 times, expected once");
}

json Template() {
  return {{"type", "TemplateProcessing"},
          {"single", json::array({{{"SpecialToken", {{"id", "<s>"}}}},
                                  {{"Sequence", {{"id", "A"}}}}})},
          {"special_tokens",
           {{"<s>", {{"id", "<s>"}, {"ids", {256}}, {"tokens", {"<s>"}}}}}}};
}

TEST(TokenizerJsonTest, ThePostProcessorSurroundsTheText) {
  json file = ByteLevelJson();
  file["added_tokens"] =
      json::array({AddedToken(256, "<s>"), AddedToken(257, "</s>")});
  file["post_processor"] = Template();
  const auto tokenizer = MakeTokenizer(file);
  EXPECT_THAT(EncodeOrDie(*tokenizer, "a", true), ElementsAre(256, 'a'));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "a", false), ElementsAre('a'));
  // Never looked for in the text: double BOS is the caller's business.
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<s>a", true),
              ElementsAre(256, 256, 'a'));
  file["post_processor"]["special_tokens"]["<s>"]["ids"] = {999};
  ExpectInvalid(file, "post_processor: id 999 is outside the vocabulary");
  file["post_processor"]["special_tokens"] = json::object();
  ExpectInvalid(file, "\"special_tokens\" has no ids of \"<s>\"");
}

TEST(TokenizerConfigTest, SomeClassesBuildBosAndEosByFlags) {
  json file = ByteLevelJson();
  file["added_tokens"] =
      json::array({AddedToken(256, "<s>"), AddedToken(257, "</s>")});
  file["post_processor"] = Template();
  json config = {{"tokenizer_class", "LlamaTokenizerFast"},
                 {"bos_token", "<s>"},
                 {"eos_token", {{"content", "</s>"}}}};
  auto tokenizer = MakeTokenizer(file, config.dump());
  EXPECT_EQ(tokenizer->bos_token_id(), 256);
  EXPECT_EQ(tokenizer->eos_token_id(), 257);
  EXPECT_THAT(EncodeOrDie(*tokenizer, "a", true), ElementsAre(256, 'a'));
  config["add_bos_token"] = false;
  config["add_eos_token"] = true;
  tokenizer = MakeTokenizer(file, config.dump());
  EXPECT_THAT(EncodeOrDie(*tokenizer, "a", true), ElementsAre('a', 257));
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  tokenizer = MakeTokenizer(file, config.dump());
  EXPECT_THAT(EncodeOrDie(*tokenizer, "a", true), ElementsAre(256, 'a'));

  config = {{"tokenizer_class", "LlamaTokenizer"}, {"bos_token", nullptr}};
  ExpectInvalid(file, "add_bos_token is true, but bos_token names no token",
                config.dump());
  config["bos_token"] = "<bos>";
  ExpectInvalid(file, "bos_token \"<bos>\" is no token of tokenizer.json",
                config.dump());
}

TEST(TokenizerConfigTest, AddedTokensAreMergedAndWin) {
  json file = ByteLevelJson();
  file["added_tokens"] = json::array({AddedToken(256, "<s>")});
  json config = {{"added_tokens_decoder",
                  {{"256", {{"content", "<s>"}, {"special", false}}},
                   {"257", {{"content", "<t>"}, {"special", true}}}}}};
  const auto tokenizer = MakeTokenizer(file, config.dump());
  EXPECT_FALSE(tokenizer->IsSpecial(256));
  EXPECT_TRUE(tokenizer->IsSpecial(257));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<t>"), ElementsAre(257));
  config["added_tokens_decoder"]["258"] = {{"content", "<s>"}};
  ExpectInvalid(file, "added token \"<s>\"", config.dump());
  config["added_tokens_decoder"] = {{"x", {{"content", "<s>"}}}};
  ExpectInvalid(file, "added_tokens_decoder \"x\": expected a token id",
                config.dump());
}

TEST(TokenizerConfigTest, SpecialTokensMapFillsGaps) {
  json file = ByteLevelJson();
  file["added_tokens"] =
      json::array({AddedToken(256, "<s>"), AddedToken(257, "</s>")});
  const auto tokenizer = Tokenizer::FromJson(
      file.dump(), R"({"bos_token": "<s>"})",
      R"({"bos_token": "</s>", "eos_token": {"content": "</s>"}})");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->bos_token_id(), 256);
  EXPECT_EQ((*tokenizer)->eos_token_id(), 257);
}

TEST(TokenizerConfigTest, BrokenFilesAreNamed) {
  ExpectInvalid(ByteLevelJson(), "tokenizer_config.json: ", "{");
  ExpectInvalid(ByteLevelJson(), "tokenizer_config.json", "[]");
  ExpectInvalid(ByteLevelJson(), "tokenizer_config.json: \"add_bos_token\"",
                R"({"add_bos_token": 1})");
}

TEST(TokenizerJsonTest, TheDigestTellsFilesApart) {
  const std::string one = ByteLevelJson().dump();
  const auto digest = [](const std::string& file, std::string_view config) {
    return (*Tokenizer::FromJson(file, config))->digest();
  };
  EXPECT_EQ(digest(one, ""), digest(one, ""));
  EXPECT_NE(digest(one, ""), digest(absl::StrCat(one, " "), ""));
  EXPECT_NE(digest(one, ""), digest(one, "{}"));
  EXPECT_EQ(digest(one, "").size(), 16u);
}

}  // namespace
}  // namespace quatrain
