#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

namespace quatrain {

// A tokenizer.json of our own: every byte a token (0 to 255), and then the
// results of `merges`. Tests change parts of it.
inline nlohmann::json ByteLevelJson(
    const std::vector<std::pair<std::string, std::string>>& merges = {}) {
  nlohmann::json vocab = nlohmann::json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocab[std::string(ByteLevelChar(byte))] = byte;
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [left, right] : merges) {
    const int id = static_cast<int>(vocab.size());
    vocab.emplace(left + right, id);
    list.push_back({left, right});
  }
  return {
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", list}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"decoder", {{"type", "ByteLevel"}}}};
}

// A SentencePiece-like one: <unk>, <s>, </s>, then <0x00> to <0xFF> (ids 3 to
// 258), then `pieces`, then the results of `merges`.
inline nlohmann::json MetaspaceJson(
    const std::vector<std::string>& pieces,
    const std::vector<std::pair<std::string, std::string>>& merges = {}) {
  nlohmann::json vocab = nlohmann::json::object();
  const auto add = [&vocab](const std::string& text) {
    const int id = static_cast<int>(vocab.size());
    vocab.emplace(text, id);
  };
  nlohmann::json added = nlohmann::json::array();
  for (const char* special : {"<unk>", "<s>", "</s>"}) {
    added.push_back(
        {{"id", vocab.size()}, {"content", special}, {"special", true}});
    add(special);
  }
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", byte);
    add(text);
  }
  for (const std::string& piece : pieces) add(piece);
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [left, right] : merges) {
    add(left + right);
    list.push_back(left + " " + right);
  }
  return {
      {"added_tokens", added},
      {"model",
       {{"type", "BPE"},
        {"vocab", vocab},
        {"merges", list},
        {"unk_token", "<unk>"},
        {"fuse_unk", true},
        {"byte_fallback", true}}},
      {"pre_tokenizer",
       {{"type", "Metaspace"},
        {"replacement", "\u2581"},
        {"prepend_scheme", "first"},
        {"split", false}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"},
           {"pattern", {{"String", "\u2581"}}},
           {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}},
          {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}}};
}

inline std::unique_ptr<Tokenizer> MakeTokenizer(const nlohmann::json& json,
                                                std::string_view config = "") {
  auto tokenizer = Tokenizer::FromJson(json.dump(), config);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

inline std::vector<int32_t> EncodeOrDie(const Tokenizer& tokenizer,
                                        std::string_view text,
                                        bool special = false) {
  const auto ids = tokenizer.Encode(text, special);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *ids : std::vector<int32_t>{};
}

}  // namespace quatrain
