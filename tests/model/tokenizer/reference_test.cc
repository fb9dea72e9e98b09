// Every case of the reference set: ids, with and without special tokens, and
// both decodings, of the real files and of the synthetic ones.

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "model/tokenizer/incremental_detokenizer.h"
#include "model/tokenizer/unicode.h"
#include "tests/model/tokenizer/reference_files.h"

namespace quatrain {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

// At most this many failures are printed of one file.
constexpr int kMaxPrinted = 5;

class Counter {
 public:
  explicit Counter(std::string name) : name_(std::move(name)) {}
  ~Counter() {
    std::printf("%-40s %5d checks, %d failed\n", name_.c_str(), checks_,
                failed_);
  }
  template <typename T>
  void Expect(const T& found, const T& expected, const std::string& what,
              const json& where) {
    ++checks_;
    if (found == expected || ++failed_ > kMaxPrinted) return;
    ADD_FAILURE() << name_ << ": " << what << " of " << where.dump() << "\n"
                  << ::testing::PrintToString(found) << "\nexpected\n"
                  << ::testing::PrintToString(expected);
  }
  int checks() const { return checks_; }

 private:
  std::string name_;
  int checks_ = 0;
  int failed_ = 0;
};

Ids Encode(const Tokenizer& tokenizer, const std::string& text, bool special) {
  const auto ids = tokenizer.Encode(text, special);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *ids : Ids{};
}

// What the streamed pieces of `ids` after `prompt` are together.
std::string Stream(const Tokenizer& tokenizer, const Ids& prompt,
                   const Ids& ids, DecodeOptions options) {
  IncrementalDetokenizer stream(&tokenizer, prompt, options);
  std::string text;
  for (const int32_t id : ids) {
    const std::string piece = stream.Push(id);
    EXPECT_TRUE(IsValidUtf8(piece)) << "a piece splits a character";
    text += piece;
  }
  return text + stream.Finish();
}

void CheckDecode(const Tokenizer& tokenizer, const Ids& ids, bool skip,
                 const std::string& expected, const json& where,
                 Counter* counter) {
  const DecodeOptions options{.skip_special_tokens = skip};
  counter->Expect(tokenizer.Decode(ids, options), expected, "decode", where);
  counter->Expect(Stream(tokenizer, {}, ids, options), expected, "stream",
                  where);
}

// Third-party cases. Where the text went through a clean-up that we leave out,
// "_raw" has it from before.
void CheckCase(const Tokenizer& tokenizer, const json& c, Counter* counter) {
  const Ids ids = c.at("ids").get<Ids>();
  counter->Expect(Encode(tokenizer, c.at("text"), c.at("add_special")), ids,
                  "ids", c.at("text"));
  const auto decoded = [&](const std::string& key) -> const json* {
    if (c.contains(key + "_raw")) return &c.at(key + "_raw");
    return c.contains(key) ? &c.at(key) : nullptr;
  };
  for (const auto& [key, skip] :
       {std::pair("decoded", false), std::pair("decoded_with_special", false),
        std::pair("decoded_without_special", true)})
    if (const json* text = decoded(key))
      CheckDecode(tokenizer, ids, skip, *text, c.at("text"), counter);
}

void CheckReferenceCase(const Tokenizer& tokenizer, const json& c,
                        Counter* counter) {
  const std::string text = c.at("text");
  const Ids ids = c.at("ids").get<Ids>();
  counter->Expect(Encode(tokenizer, text, false), ids, "ids", c.at("text"));
  const json& decoded = c.at("decoded");
  const std::string whole =
      decoded.is_boolean() ? text : decoded.get<std::string>();
  CheckDecode(tokenizer, ids, false, whole, c.at("text"), counter);
  if (c.contains("ids_with_special"))
    counter->Expect(Encode(tokenizer, text, true),
                    c.at("ids_with_special").get<Ids>(), "ids with special",
                    c.at("text"));
  if (c.contains("decoded_skip_special"))
    CheckDecode(tokenizer, ids, true, c.at("decoded_skip_special"),
                c.at("text"), counter);
}

class ReferenceCases : public ReferenceTest {};

TEST_F(ReferenceCases, ThirdPartyCases) {
  int total = 0;
  for (const char* folder : kReferenceFolders) {
    const json cases = ReadReferenceJson(std::string(folder) + "/cases.json");
    const auto tokenizer = ReferenceTokenizer(folder);
    ASSERT_NE(tokenizer, nullptr) << folder;
    Counter counter(std::string(folder) + "/cases.json");
    for (const json& c : cases) CheckCase(*tokenizer, c, &counter);
    total += cases.size();
  }
  EXPECT_EQ(total, 790);
}

TEST_F(ReferenceCases, ReferenceRuns) {
  int total = 0;
  for (const char* folder : kReferenceFolders) {
    const json cases =
        ReadReferenceJson(std::string(folder) + "/cases_reference.json");
    const auto tokenizer = ReferenceTokenizer(folder);
    ASSERT_NE(tokenizer, nullptr) << folder;
    Counter counter(std::string(folder) + "/cases_reference.json");
    for (const json& c : cases) CheckReferenceCase(*tokenizer, c, &counter);
    total += cases.size();
  }
  EXPECT_EQ(total, 4170);
}

TEST_F(ReferenceCases, SyntheticPipelines) {
  int files = 0, total = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(*ReferenceDir() + "/synthetic")) {
    const std::string name = entry.path().filename();
    const json file = ReadReferenceJson("synthetic/" + name);
    const auto tokenizer = Tokenizer::FromJson(file.at("tokenizer").dump());
    ASSERT_TRUE(tokenizer.ok()) << name << ": " << tokenizer.status();
    Counter counter("synthetic/" + name);
    for (const json& c : file.at("cases"))
      CheckReferenceCase(**tokenizer, c, &counter);
    ++files;
    total += file.at("cases").size();
  }
  EXPECT_EQ(files, 30);
  EXPECT_EQ(total, 4050);
}

// With only the SentencePiece file: the same ids as with tokenizer.json.
TEST_F(ReferenceCases, SentencePieceModels) {
  for (const char* folder : {"llama-2", "mistral-v1", "mistral-v3"}) {
    const json cases =
        ReadReferenceJson(std::string(folder) + "/cases_reference.json");
    const auto tokenizer = ReferenceTokenizer(folder, "tokenizer.model");
    ASSERT_NE(tokenizer, nullptr) << folder;
    EXPECT_EQ(tokenizer->bos_token_id(), 1);
    EXPECT_EQ(tokenizer->eos_token_id(), 2);
    Counter counter(std::string(folder) + "/tokenizer.model");
    for (const json& c : cases) CheckReferenceCase(*tokenizer, c, &counter);
  }
}

// Llama 3's tokenizer.model is the text format of tiktoken.
TEST_F(ReferenceCases, TiktokenModel) {
  const json cases = ReadReferenceJson("llama-3/cases_reference.json");
  const auto tokenizer = ReferenceTokenizer("llama-3", "tokenizer.model");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->vocab_size(), 128'256);
  Counter counter("llama-3/tokenizer.model");
  for (const json& c : cases) CheckReferenceCase(*tokenizer, c, &counter);
}

TEST_F(ReferenceCases, Streams) {
  const DecodeOptions all{.skip_special_tokens = false};  // as recorded
  const json rows = ReadReferenceJson("streaming.json");
  Counter counter("streaming.json"), whole("streaming.json, whole decode");
  int later = 0;
  for (const json& row : rows) {
    for (const json& folder : row.at("tokenizers")) {
      const auto tokenizer = ReferenceTokenizer(folder);
      if (tokenizer == nullptr) continue;
      const Ids prompt = row.at("prompt_ids").get<Ids>();
      const Ids ids = row.at("generated_ids").get<Ids>();
      std::string expected;
      for (const json& piece : row.at("pieces"))
        expected += piece.get<std::string>();
      expected += row.value("flush", "");
      counter.Expect(Stream(*tokenizer, prompt, ids, all), expected, "text",
                     row);
      if (row.contains("decode_generated_only"))
        whole.Expect(tokenizer->Decode(ids, all),
                     row.at("decode_generated_only").get<std::string>(),
                     "decode", row);
      // No later than the decode-and-compare of other servers.
      IncrementalDetokenizer stream(tokenizer.get(), prompt, all);
      size_t sent = 0, theirs = 0;
      for (size_t i = 0; i < ids.size(); ++i) {
        sent += stream.Push(ids[i]).size();
        theirs += row.at("pieces")[i].get<std::string>().size();
        later += sent < theirs;
      }
    }
  }
  EXPECT_GE(counter.checks(), 261);
  EXPECT_EQ(later, 0) << "pieces that came later than the recorded ones";
}

}  // namespace
}  // namespace quatrain
