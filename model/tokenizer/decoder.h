#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer/normalizer.h"
#include "nlohmann/json_fwd.hpp"

namespace quatrain {

// How the texts of tokens become one text.
enum class TokenJoin {
  kPlain,         // one after the other
  kBlanks,        // a blank between two: what no decoder at all means
  kByteLevel,     // bytes; broken UTF-8 is U+FFFD
  kByteFallback,  // text, but a run of <0xNN> tokens is bytes
  kMetaspace,     // text; U+2581 is a blank, in the first token nothing
};

// Tokens back to text: a chain of the decoders of tokenizer.json, brought into
// one form so that whole decoding and streaming are the same few rules:
//   1. each token's text by itself (Replace, Strip), done once at load;
//   2. TokenJoin;
//   3. up to strip_left() times strip_char() dropped at the start of the text.
class TextDecoder {
 public:
  // The "decoder" of tokenizer.json, which may be null: ByteLevel, Metaspace,
  // or a Sequence of Replace and Strip, ByteFallback or ByteLevel, Fuse, and
  // Strip at the start. Unimplemented, naming it, for any other decoder or
  // order.
  static absl::StatusOr<TextDecoder> FromJson(const nlohmann::json& json);

  static TextDecoder ForByteLevel();
  // U+2581 to blanks, ByteFallback, Fuse, and Strip of one blank where
  // `strip_first_blank`: what SentencePiece models need.
  static TextDecoder ForSentencePiece(bool strip_first_blank);

  // Computes what each token adds; `texts` by id.
  absl::Status Prepare(const std::vector<std::string>& texts);

  // Decodes ids in [0, texts.size()), as Transformers does.
  std::string Decode(std::span<const int32_t> ids) const;

  TokenJoin join() const { return join_; }
  int strip_left() const { return strip_left_; }
  char32_t strip_char() const { return strip_char_; }

  // What the token adds after others, before strip: UTF-8, but bytes where the
  // join is kByteLevel or IsByte(id).
  std::string_view Bytes(int32_t id) const { return bytes_[id]; }
  // What it adds as the first token (kMetaspace only differs there).
  std::string FirstBytes(int32_t id) const;
  // A <0xNN> token under kByteFallback.
  bool IsByte(int32_t id) const { return is_byte_[id]; }

 private:
  friend class DecoderReader;

  struct StripStep {
    char32_t value = ' ';
    int start = 0, stop = 0;
  };
  // One step of rule 1.
  struct TokenStep {
    bool is_strip = false;
    StripStep strip;
    Normalizer replace;
  };

  absl::Status AddToken(std::string text);

  std::vector<TokenStep> token_steps_;
  TokenJoin join_ = TokenJoin::kPlain;
  std::string metaspace_;  // the character that stands for a blank
  bool metaspace_drops_first_ = false;
  int strip_left_ = 0;
  char32_t strip_char_ = ' ';

  std::vector<std::string> bytes_;
  std::vector<bool> is_byte_;
  std::vector<std::string> first_bytes_;  // kMetaspace only
};

// The byte that a token "<0xNN>" spells; -1 for any other text.
int ByteOfToken(std::string_view text);

}  // namespace quatrain
