#pragma once

#include <memory>
#include <string>

#include "base/check.h"
#include "coordinator/served_model.h"
#include "model/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

namespace quatrain {

// A byte-level tokenizer whose ids 0..255 are the bytes, in the order of their
// values; then come two special tokens and a few longer ones.
inline constexpr int32_t kBos = 256;    // "<s>"
inline constexpr int32_t kEos = 257;    // "</s>"
inline constexpr int32_t kHello = 258;  // "hello"
inline constexpr int32_t kWorld = 259;  // " world"
inline constexpr int kTestVocab = 260;

// How byte-level vocabularies spell a byte: as a character of its own.
inline std::string SpellByte(int byte) {
  static const std::vector<int> code_points = [] {
    std::vector<int> points(256);
    int next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable =
          (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      points[b] = printable ? b : next++;
    }
    return points;
  }();
  const int point = code_points[byte];
  if (point < 128) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(0xc0 | point >> 6),
          static_cast<char>(0x80 | (point & 63))};
}

inline nlohmann::json SpecialToken(int id, const std::string& content) {
  return {{"id", id},        {"content", content}, {"single_word", false},
          {"lstrip", false}, {"rstrip", false},    {"normalized", false},
          {"special", true}};
}

inline nlohmann::json TestVocabulary() {
  nlohmann::json vocab;
  for (int b = 0; b < 256; ++b) vocab[SpellByte(b)] = b;
  vocab["<s>"] = kBos;
  vocab["</s>"] = kEos;
  vocab["hello"] = kHello;
  vocab[SpellByte(' ') + "world"] = kWorld;
  return vocab;
}

inline std::unique_ptr<Tokenizer> MakeTestTokenizer(
    const std::string& tokenizer_config = "") {
  const nlohmann::json byte_level = {{"type", "ByteLevel"},
                                     {"add_prefix_space", false},
                                     {"trim_offsets", true},
                                     {"use_regex", true}};
  const nlohmann::json bos = {
      {"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const nlohmann::json a = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const nlohmann::json b = {{"Sequence", {{"id", "B"}, {"type_id", 0}}}};
  const nlohmann::json file = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", {SpecialToken(kBos, "<s>"), SpecialToken(kEos, "</s>")}},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {bos, a}},
        {"pair", {bos, a, b}},
        {"special_tokens",
         {{"<s>", {{"id", "<s>"}, {"ids", {kBos}}, {"tokens", {"<s>"}}}}}}}},
      {"decoder", byte_level},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"vocab", TestVocabulary()},
        {"merges", nlohmann::json::array()}}}};
  auto tokenizer = Tokenizer::FromJson(file.dump(), tokenizer_config);
  CHECK(tokenizer.ok()) << tokenizer.status().ToString();
  return *std::move(tokenizer);
}

inline ServedModel MakeTestModel(const Tokenizer* tokenizer) {
  ServedModel model;
  model.id = "test-model";
  model.aliases = {"alias"};
  model.config.architecture = "LlamaForCausalLM";
  model.config.vocab_size = kTestVocab;
  model.config.bos_token_id = kBos;
  model.config.eos_token_ids = {kEos};
  model.max_model_len = 64;
  model.tokenizer = tokenizer;
  model.stages = {{0, 4, 2}, {4, 4, 2}};
  return model;
}

// The ids of a text without special tokens: its bytes.
inline std::vector<int32_t> Bytes(std::string_view text) {
  std::vector<int32_t> ids;
  for (char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

}  // namespace quatrain
