#include "model/tokenizer/decoder.h"

#include <optional>
#include <utility>

#include "base/status_macros.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

// Drops up to `start` of `value` at the front and up to `stop` at the back.
std::string Stripped(std::string_view text, char32_t value, int start,
                     int stop) {
  for (; start > 0 && !text.empty(); --start) {
    const CodePoint c = CodePointAt(text, 0);
    if (c.value != value) break;
    text.remove_prefix(c.length);
  }
  for (; stop > 0 && !text.empty(); --stop) {
    const CodePoint c = CodePointBefore(text, text.size());
    if (c.value != value) break;
    text.remove_suffix(c.length);
  }
  return std::string(text);
}

std::string WithReplaced(std::string_view text, std::string_view what,
                         std::string_view with) {
  std::string result;
  size_t copied = 0;
  for (size_t i = text.find(what); i != std::string_view::npos;
       i = text.find(what, copied)) {
    result.append(text, copied, i - copied).append(with);
    copied = i + what.size();
  }
  return result.append(text, copied);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A run of <0xNN>: its text, or one U+FFFD for each of its bytes.
void AppendRun(std::string* run, std::string* text) {
  if (IsValidUtf8(*run)) {
    text->append(*run);
  } else {
    for (size_t i = 0; i < run->size(); ++i)
      text->append(kReplacementCharacter);
  }
  run->clear();
}

}  // namespace

int ByteOfToken(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || !text.ends_with('>'))
    return -1;
  const int high = HexDigit(text[3]), low = HexDigit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

TextDecoder TextDecoder::ForByteLevel() {
  TextDecoder decoder;
  decoder.join_ = TokenJoin::kByteLevel;
  return decoder;
}

TextDecoder TextDecoder::ForSentencePiece(bool strip_first_blank) {
  TextDecoder decoder;
  TokenStep step;
  step.replace =
      Normalizer({ReplaceStep{LiteralPattern("\u2581"), std::string(" ")}});
  decoder.token_steps_.push_back(std::move(step));
  decoder.join_ = TokenJoin::kByteFallback;
  decoder.strip_left_ = strip_first_blank ? 1 : 0;
  return decoder;
}

absl::Status TextDecoder::Prepare(const std::vector<std::string>& texts) {
  bytes_.reserve(texts.size());
  is_byte_.reserve(texts.size());
  for (const std::string& text : texts) RETURN_IF_ERROR(AddToken(text));
  return absl::OkStatus();
}

absl::Status TextDecoder::AddToken(std::string text) {
  for (const TokenStep& step : token_steps_) {
    if (step.is_strip) {
      text =
          Stripped(text, step.strip.value, step.strip.start, step.strip.stop);
    } else {
      RETURN_IF_ERROR(step.replace.Apply(&text));
    }
  }
  const int byte = join_ == TokenJoin::kByteFallback ? ByteOfToken(text) : -1;
  is_byte_.push_back(byte >= 0);
  if (byte >= 0) text.assign(1, static_cast<char>(byte));
  if (join_ == TokenJoin::kByteLevel) {
    // A token with a character outside the alphabet is its own UTF-8.
    if (std::optional<std::string> bytes = FromByteLevel(text))
      text = *std::move(bytes);
  }
  if (join_ == TokenJoin::kMetaspace) {
    first_bytes_.push_back(
        WithReplaced(text, metaspace_, metaspace_drops_first_ ? "" : " "));
    text = WithReplaced(text, metaspace_, " ");
  }
  bytes_.push_back(std::move(text));
  return absl::OkStatus();
}

std::string TextDecoder::FirstBytes(int32_t id) const {
  return join_ == TokenJoin::kMetaspace ? first_bytes_[id] : bytes_[id];
}

std::string TextDecoder::Decode(std::span<const int32_t> ids) const {
  std::string text, run;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (is_byte_[ids[i]]) {
      run += bytes_[ids[i]];
      continue;
    }
    if (!run.empty()) AppendRun(&run, &text);
    if (i > 0 && join_ == TokenJoin::kBlanks) text += ' ';
    i == 0 ? text += FirstBytes(ids[i]) : text += Bytes(ids[i]);
  }
  if (!run.empty()) AppendRun(&run, &text);
  if (join_ == TokenJoin::kByteLevel) {
    std::string valid;
    AppendLossyUtf8(text, &valid);
    text = std::move(valid);
  }
  return strip_left_ == 0 ? text : Stripped(text, strip_char_, strip_left_, 0);
}

}  // namespace quatrain
