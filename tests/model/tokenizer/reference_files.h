#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "model/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

namespace quatrain {

// The third-party tokenizers and their expected results, which are not ours to
// ship: QUATRAIN_REFERENCE_DIR/tokenizers.
inline std::optional<std::string> ReferenceDir() {
  const char* dir = std::getenv("QUATRAIN_REFERENCE_DIR");
  if (dir == nullptr || *dir == '\0') return std::nullopt;
  return std::string(dir) + "/tokenizers";
}

// Said before main so that it is the first line CTest sees.
inline const bool kSaidThatSkipped = [] {
  if (!ReferenceDir())
    std::printf(
        "every test of this file is skipped: "
        "QUATRAIN_REFERENCE_DIR is not set\n");
  return true;
}();

// Base of tests on that data.
class ReferenceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!ReferenceDir()) GTEST_SKIP() << "QUATRAIN_REFERENCE_DIR is not set";
  }
};

// `path` or, unpacked, `path`.xz; nullopt if neither is there.
inline std::optional<std::string> ReadMaybePacked(const std::string& path) {
  if (std::ifstream file(path, std::ios::binary); file)
    return std::string(std::istreambuf_iterator<char>(file), {});
  if (!std::filesystem::exists(path + ".xz")) return std::nullopt;
  std::FILE* pipe = popen(("xz -dc '" + path + ".xz'").c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  std::string bytes;
  char buffer[65536];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe))
    bytes.append(buffer, n);
  EXPECT_EQ(pclose(pipe), 0) << "xz -dc " << path << ".xz";
  return bytes;
}

// A JSON file of the reference set; null if it is not there.
inline nlohmann::json ReadReferenceJson(const std::string& name) {
  const auto text = ReadMaybePacked(*ReferenceDir() + "/" + name);
  return text ? nlohmann::json::parse(*text) : nlohmann::json();
}

// The tokenizer of a folder of the set, loaded once; null if the folder has no
// tokenizer file.
inline std::shared_ptr<const Tokenizer> ReferenceTokenizer(
    const std::string& folder, const std::string& file = "tokenizer.json") {
  static std::map<std::string, std::shared_ptr<const Tokenizer>> loaded;
  const auto [entry, is_new] = loaded.emplace(folder + "/" + file, nullptr);
  if (!is_new) return entry->second;
  const std::string dir = *ReferenceDir() + "/" + folder;
  const auto bytes = ReadMaybePacked(dir + "/" + file);
  if (!bytes) return nullptr;
  const std::string config =
      ReadMaybePacked(dir + "/tokenizer_config.json").value_or("");
  auto tokenizer = file == "tokenizer.json"
                       ? Tokenizer::FromJson(*bytes, config)
                       : Tokenizer::FromModel(*bytes, config);
  EXPECT_TRUE(tokenizer.ok()) << folder << ": " << tokenizer.status();
  if (tokenizer.ok()) entry->second = *std::move(tokenizer);
  return entry->second;
}

inline constexpr const char* kReferenceFolders[] = {
    "llama-2",     "llama-3",      "mistral-v1", "mistral-v3",
    "qwen2",       "qwen3",        "falcon",     "gpt-neox",
    "gpt2",        "phi-2",        "phi-3-mini", "deepseek-coder",
    "deepseek-v2", "deepseek-llm", "starcoder2"};

}  // namespace quatrain
