#include "model/tokenizer/tokenizer.h"

#include <cinttypes>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/mapped_file.h"
#include "base/status_macros.h"
#include "model/tokenizer/sentencepiece_model.h"
#include "model/tokenizer/tiktoken_model.h"
#include "model/tokenizer/tokenizer_json.h"
#include "model/tokenizer/tokenizer_parts.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

constexpr size_t kMaxTextBytes = 64u << 20;

// FNV-1a over each file's length and bytes.
std::string DigestOf(std::initializer_list<std::string_view> files) {
  uint64_t hash = 0xcbf29ce484222325u;
  const auto add = [&hash](uint8_t byte) {
    hash = (hash ^ byte) * 0x100000001b3u;
  };
  for (const std::string_view file : files) {
    for (int shift = 0; shift < 64; shift += 8)
      add(static_cast<uint8_t>(uint64_t{file.size()} >> shift));
    for (const char c : file) add(static_cast<uint8_t>(c));
  }
  char text[17];
  std::snprintf(text, sizeof(text), "%016" PRIx64, hash);
  return text;
}

// The file's bytes; nullopt if there is no such file.
absl::StatusOr<std::optional<std::string>> ReadFile(const std::string& path) {
  absl::StatusOr<MappedFile> file = MappedFile::Open(path);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  RETURN_IF_ERROR(file.status());
  return std::string(reinterpret_cast<const char*>(file->bytes().data()),
                     file->bytes().size());
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerParts> parts)
    : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(
    const std::string& dir) {
  const auto read = [&dir](const char* name) {
    return ReadFile(absl::StrCat(dir, "/", name));
  };
  ASSIGN_OR_RETURN(const auto config, read("tokenizer_config.json"));
  ASSIGN_OR_RETURN(const auto map, read("special_tokens_map.json"));
  ASSIGN_OR_RETURN(const auto json, read("tokenizer.json"));
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = absl::NotFoundError(
      "neither tokenizer.json nor tokenizer.model is there");
  if (json) {
    tokenizer = FromJson(*json, config.value_or(""), map.value_or(""));
  } else {
    ASSIGN_OR_RETURN(const auto model, read("tokenizer.model"));
    if (model)
      tokenizer = FromModel(*model, config.value_or(""), map.value_or(""));
  }
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(
      tokenizer.status().code(),
      absl::StrCat(dir, ": ", std::string(tokenizer.status().message())));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(
    std::string_view tokenizer_json, std::string_view tokenizer_config,
    std::string_view special_tokens_map) {
  ASSIGN_OR_RETURN(const TokenizerConfig config,
                   ReadTokenizerConfig(tokenizer_config, special_tokens_map));
  ASSIGN_OR_RETURN(TokenizerDraft draft, ReadTokenizerJson(tokenizer_json));
  ASSIGN_OR_RETURN(std::unique_ptr<TokenizerParts> parts,
                   AssembleTokenizer(std::move(draft), config));
  parts->digest =
      DigestOf({tokenizer_json, tokenizer_config, special_tokens_map});
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts)));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromModel(
    std::string_view tokenizer_model, std::string_view tokenizer_config,
    std::string_view special_tokens_map) {
  ASSIGN_OR_RETURN(TokenizerConfig config,
                   ReadTokenizerConfig(tokenizer_config, special_tokens_map));
  ASSIGN_OR_RETURN(TokenizerDraft draft,
                   IsTiktokenModel(tokenizer_model)
                       ? ReadTiktokenModel(tokenizer_model, config)
                       : ReadSentencePieceModel(tokenizer_model, &config));
  ASSIGN_OR_RETURN(std::unique_ptr<TokenizerParts> parts,
                   AssembleTokenizer(std::move(draft), config));
  parts->digest =
      DigestOf({tokenizer_model, tokenizer_config, special_tokens_map});
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts)));
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(
    std::string_view text, bool add_special_tokens) const {
  if (text.size() > kMaxTextBytes)
    return absl::InvalidArgumentError(
        absl::StrCat("text: ", text.size(), " bytes, at most ", kMaxTextBytes));
  if (!IsValidUtf8(text))
    return absl::InvalidArgumentError("text: not valid UTF-8");
  std::vector<int32_t> ids;
  if (add_special_tokens) ids = parts_->around.before;
  BpeModel::Scratch scratch;
  RETURN_IF_ERROR(parts_->added_tokens.Cut(
      text,
      [this](std::string* stretch) {
        return parts_->normalizer.Apply(stretch);
      },
      [&ids](int32_t token) { ids.push_back(token); },
      [&](std::string_view stretch, bool at_start) -> absl::Status {
        Pieces pieces;
        RETURN_IF_ERROR(parts_->pre_tokenizer.Cut(stretch, at_start, &pieces));
        for (const Piece& piece : pieces.list)
          parts_->bpe.Encode(piece.text, &scratch, &ids);
        return absl::OkStatus();
      }));
  const std::vector<int32_t>& after = parts_->around.after;
  if (add_special_tokens) ids.insert(ids.end(), after.begin(), after.end());
  return ids;
}

std::string Tokenizer::Decode(std::span<const int32_t> ids,
                              DecodeOptions options) const {
  std::vector<int32_t> shown;
  shown.reserve(ids.size());
  for (const int32_t id : ids)
    if (parts_->Shows(id, options)) shown.push_back(id);
  return parts_->decoder.Decode(shown);
}

int Tokenizer::vocab_size() const {
  return static_cast<int>(parts_->texts.size());
}

std::optional<std::string> Tokenizer::TokenText(int32_t id) const {
  if (!parts_->InVocabulary(id)) return std::nullopt;
  return parts_->texts[id];
}

std::optional<int32_t> Tokenizer::TokenId(std::string_view content) const {
  const auto found = parts_->ids.find(content);
  if (found == parts_->ids.end()) return std::nullopt;
  return found->second;
}

std::string Tokenizer::TokenBytes(int32_t id) const {
  if (!parts_->InVocabulary(id)) return "";
  return std::string(parts_->decoder.Bytes(id));
}

bool Tokenizer::IsSpecial(int32_t id) const {
  return parts_->InVocabulary(id) && parts_->special[id];
}

std::optional<int32_t> Tokenizer::bos_token_id() const {
  return parts_->bos_token_id;
}
std::optional<int32_t> Tokenizer::eos_token_id() const {
  return parts_->eos_token_id;
}
std::string Tokenizer::digest() const { return parts_->digest; }

}  // namespace quatrain
