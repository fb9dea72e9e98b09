#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quatrain {

struct TokenizerParts;  // the pipeline, private to model/tokenizer

struct DecodeOptions {
  // Drops the tokens that the checkpoint marks as special (<s>, <|eot_id|>).
  // Added tokens that are not special (<think>) are text and always shown.
  bool skip_special_tokens = true;
};

// Text to token ids and back, exactly as Hugging Face's tokenizers does it for
// the same files. Immutable once loaded: any number of threads may call any
// method at the same time.
//
// Ids are in [0, vocab_size()). A model may have more rows than that (padding);
// the ids of those rows decode to nothing.
class Tokenizer {
 public:
  // Reads `dir`/tokenizer.json, or `dir`/tokenizer.model where there is none,
  // and beside it tokenizer_config.json and special_tokens_map.json where they
  // are there. NotFound if there is neither; InvalidArgument names the file and
  // what is wrong in it; Unimplemented names a component we do not have.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(
      const std::string& dir);

  // The same from bytes. `tokenizer_config` is the content of
  // tokenizer_config.json, "" if there is none; the same for
  // `special_tokens_map`.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(
      std::string_view tokenizer_json, std::string_view tokenizer_config = "",
      std::string_view special_tokens_map = "");
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromModel(
      std::string_view tokenizer_model, std::string_view tokenizer_config = "",
      std::string_view special_tokens_map = "");

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // `text` must be valid UTF-8 (a NUL inside is text), else InvalidArgument.
  // `add_special_tokens` puts BOS and EOS around it as the checkpoint's
  // post-processor says; it never looks whether the text has them already.
  // Special tokens that `text` spells out become those tokens either way.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text,
                                              bool add_special_tokens) const;

  // What Transformers' decode gives with clean_up_tokenization_spaces off:
  // valid UTF-8, broken bytes as U+FFFD. Ids outside the vocabulary give
  // nothing.
  std::string Decode(std::span<const int32_t> ids,
                     DecodeOptions options = {}) const;

  // The number of ids, added tokens included.
  int vocab_size() const;

  // The vocabulary's own spelling of a token ("▁the", "Ġthe"); nullopt for an
  // id outside the vocabulary. TokenId is its inverse.
  std::optional<std::string> TokenText(int32_t id) const;
  std::optional<int32_t> TokenId(std::string_view content) const;

  // The bytes a token adds in the middle of a text, which need not be valid
  // UTF-8; "" for an id outside the vocabulary.
  std::string TokenBytes(int32_t id) const;

  bool IsSpecial(int32_t id) const;

  // What tokenizer_config.json (or special_tokens_map.json, or the model file)
  // calls bos_token and eos_token.
  std::optional<int32_t> bos_token_id() const;
  std::optional<int32_t> eos_token_id() const;

  // Hex digits over the bytes of the files read: equal files, equal digest.
  std::string digest() const;

  // For the other classes of this folder.
  const TokenizerParts& parts() const { return *parts_; }

 private:
  explicit Tokenizer(std::unique_ptr<const TokenizerParts> parts);

  std::unique_ptr<const TokenizerParts> parts_;
};

}  // namespace quatrain
