// The tokenizer of the model in examples/, from each of its two files.

#include "model/tokenizer/tokenizer.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "model/tokenizer/incremental_detokenizer.h"
#include "tests/model/tokenizer/random_text.h"

namespace quatrain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

// Tests run in the root of the repository.
constexpr const char* kExample = "examples/tales-8m-awq";

std::string ReadFile(const std::string& name) {
  std::ifstream file(std::string(kExample) + "/" + name, std::ios::binary);
  EXPECT_TRUE(file) << kExample << "/" << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::unique_ptr<Tokenizer> FromFolder() {
  auto tokenizer = Tokenizer::Load(kExample);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

std::unique_ptr<Tokenizer> FromModelFile() {
  auto tokenizer = Tokenizer::FromModel(ReadFile("tokenizer.model"),
                                        ReadFile("tokenizer_config.json"));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(TokenizerTest, EncodesAndDecodes) {
  const auto tokenizer = FromFolder();
  EXPECT_EQ(tokenizer->vocab_size(), 4096);
  EXPECT_EQ(tokenizer->bos_token_id(), 1);
  EXPECT_EQ(tokenizer->eos_token_id(), 2);
  EXPECT_TRUE(tokenizer->IsSpecial(1));
  const std::string text = "Once upon a time, \u00e9\U0001F600!";
  const Ids ids = *tokenizer->Encode(text, true);
  EXPECT_EQ(ids[0], 1);
  EXPECT_EQ(tokenizer->TokenText(ids[1]), "\u2581Once");
  EXPECT_EQ(tokenizer->TokenBytes(ids[1]), " Once");
  EXPECT_EQ(tokenizer->Decode(ids), text);
  EXPECT_EQ(tokenizer->Decode(ids, {.skip_special_tokens = false}),
            "<s> " + text);
  EXPECT_THAT(*tokenizer->Encode("", true), ElementsAre(1));
  EXPECT_THAT(*tokenizer->Encode("", false), ElementsAre());
}

TEST(TokenizerTest, TheModelFileAloneGivesTheSame) {
  const auto from_json = FromFolder(), from_model = FromModelFile();
  ASSERT_EQ(from_json->vocab_size(), from_model->vocab_size());
  for (int id = 0; id < from_json->vocab_size(); ++id) {
    ASSERT_EQ(from_json->TokenText(id), from_model->TokenText(id));
    ASSERT_EQ(from_json->TokenBytes(id), from_model->TokenBytes(id));
    ASSERT_EQ(from_json->IsSpecial(id), from_model->IsSpecial(id));
  }
  EXPECT_EQ(from_model->bos_token_id(), 1);
  EXPECT_EQ(from_model->eos_token_id(), 2);
  std::mt19937 random(5);
  const std::string words[] = {"Once ", "upon", " a", "time", "</s>",  "  ",
                               "<s>",   "\n",   "\"", "the ", "\u2581"};
  for (int i = 0; i < 5000; ++i) {
    std::string text = RandomText(&random, random() % 12);
    for (int j = 0; j < 6; ++j) text += words[random() % std::size(words)];
    const Ids ids = *from_json->Encode(text, true);
    ASSERT_EQ(ids, *from_model->Encode(text, true)) << text;
    ASSERT_EQ(from_json->Decode(ids), from_model->Decode(ids)) << text;
  }
}

TEST(TokenizerTest, TextComesBack) {
  const auto tokenizer = FromFolder();
  const DecodeOptions all{.skip_special_tokens = false};
  std::mt19937 random(6);
  for (int i = 0; i < 5000; ++i) {
    const std::string text = RandomText(&random, random() % 40);
    // A prefix blank is added only where there is none.
    if (text.starts_with(' ') || text.find("\u2581") != std::string::npos)
      continue;
    const Ids ids = *tokenizer->Encode(text, false);
    ASSERT_EQ(tokenizer->Decode(ids, all), text);
    IncrementalDetokenizer stream(tokenizer.get(), {}, all);
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.Push(id);
    ASSERT_EQ(streamed + stream.Finish(), text);
  }
}

TEST(TokenizerTest, ManyThreadsUseOneTokenizer) {
  const auto tokenizer = FromFolder();
  const std::string text = "The quick brown fox, \u00e9t\u00e9. </s> ";
  const Ids expected = *tokenizer->Encode(text, true);
  const std::string decoded = tokenizer->Decode(expected);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        EXPECT_EQ(*tokenizer->Encode(text, true), expected);
        EXPECT_EQ(tokenizer->Decode(expected), decoded);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class FolderTest : public ::testing::Test {
 protected:
  FolderTest()
      : dir_(std::filesystem::temp_directory_path() /
             ("tokenizer_test_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(dir_);
  }
  ~FolderTest() override { std::filesystem::remove_all(dir_); }
  void Copy(const std::string& name) {
    std::filesystem::copy_file(std::string(kExample) + "/" + name, dir_ / name);
  }
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(dir_ / name, std::ios::binary) << bytes;
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> Load() {
    return Tokenizer::Load(dir_.string());
  }

  std::filesystem::path dir_;
};

TEST_F(FolderTest, NoTokenizerIsNotFound) {
  EXPECT_EQ(Load().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Load().status().message()),
              HasSubstr(dir_.string() + ": neither tokenizer.json nor "
                                        "tokenizer.model is there"));
}

TEST_F(FolderTest, TokenizerJsonWins) {
  Copy("tokenizer.json");
  Write("tokenizer.model", "broken");
  EXPECT_TRUE(Load().ok()) << Load().status();
}

TEST_F(FolderTest, TheModelFileAloneIsReadAsTransformersDoes) {
  Copy("tokenizer.model");
  const auto tokenizer = Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->bos_token_id(), 1);
  const Ids ids = *(*tokenizer)->Encode("Once", true);
  EXPECT_EQ(ids[0], 1);
  EXPECT_EQ((*tokenizer)->Decode(ids), "Once");
  // Without "legacy": false, U+2581 comes after every special token.
  EXPECT_EQ((*tokenizer)->Encode("<s>Once", false).value()[1], ids[1]);
}

TEST_F(FolderTest, ErrorsNameTheFolderAndTheFile) {
  Copy("tokenizer.json");
  Write("tokenizer_config.json", "{\"add_bos_token\": 3}");
  EXPECT_EQ(Load().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Load().status().message()),
              HasSubstr(dir_.string() + ": tokenizer_config.json: "));
}

}  // namespace
}  // namespace quatrain
