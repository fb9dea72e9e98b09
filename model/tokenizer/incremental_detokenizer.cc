#include "model/tokenizer/incremental_detokenizer.h"

#include <algorithm>

#include "base/check.h"
#include "model/tokenizer/tokenizer_parts.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {

IncrementalDetokenizer::IncrementalDetokenizer(
    const Tokenizer* tokenizer, std::span<const int32_t> prompt_ids,
    DecodeOptions options)
    : tokenizer_(tokenizer),
      options_(options),
      strip_left_(tokenizer->parts().decoder.strip_left()) {
  ReadPrompt(prompt_ids);
}

// What the prompt leaves behind: whether the start of the text is past, and
// the bytes of a character it did not finish. Both ends tell; between them
// nothing needs to be read.
void IncrementalDetokenizer::ReadPrompt(std::span<const int32_t> prompt_ids) {
  constexpr size_t kTail = 8;  // a character has at most four bytes
  const TokenizerParts& parts = tokenizer_->parts();
  size_t i = 0;
  while (i < prompt_ids.size() && (first_ || strip_left_ > 0))
    Push(prompt_ids[i++]);
  size_t tail = prompt_ids.size() - std::min(prompt_ids.size(), kTail);
  const auto in_run = [&](int32_t id) {
    return !parts.Shows(id, options_) || parts.decoder.IsByte(id);
  };
  while (tail > i && in_run(prompt_ids[tail])) --tail;
  if (tail > i) {
    pending_.clear();
    in_run_ = broken_run_ = false;
    i = tail;
  }
  for (; i < prompt_ids.size(); ++i) Push(prompt_ids[i]);
  in_prompt_ = in_run_ ? static_cast<int>(pending_.size()) : !pending_.empty();
}

std::string IncrementalDetokenizer::Push(int32_t id) {
  const TokenizerParts& parts = tokenizer_->parts();
  if (!parts.Shows(id, options_)) return "";
  const TextDecoder& decoder = parts.decoder;
  std::string text;
  if (decoder.IsByte(id)) {
    AppendRunByte(decoder.Bytes(id), &text);
  } else {
    if (in_run_) EndRun(&text);
    if (!first_ && decoder.join() == TokenJoin::kBlanks) text += ' ';
    pending_ += first_ ? decoder.FirstBytes(id) : decoder.Bytes(id);
    AppendComplete(&text);
  }
  first_ = false;
  return Strip(std::move(text));
}

std::string IncrementalDetokenizer::Finish() {
  std::string text;
  if (in_run_) EndRun(&text);
  if (!pending_.empty()) AppendBroken(1, &text);
  pending_.clear();
  return Strip(std::move(text));
}

// One byte of a run of <0xNN> tokens. Once it is broken, every byte of it is a
// U+FFFD of its own.
void IncrementalDetokenizer::AppendRunByte(std::string_view byte,
                                           std::string* text) {
  in_run_ = true;
  pending_ += byte;
  const Utf8Step step = ReadUtf8(pending_, 0);
  if (!broken_run_ && step.kind == Utf8Kind::kIncomplete) return;
  if (!broken_run_ && step.kind == Utf8Kind::kCharacter) {
    text->append(pending_);
    pending_.clear();
    in_prompt_ = 0;
    return;
  }
  broken_run_ = true;
  AppendBroken(static_cast<int>(pending_.size()), text);
  pending_.clear();
}

void IncrementalDetokenizer::EndRun(std::string* text) {
  // A character that never came.
  AppendBroken(static_cast<int>(pending_.size()), text);
  pending_.clear();
  in_run_ = broken_run_ = false;
}

void IncrementalDetokenizer::AppendBroken(int count, std::string* text) {
  for (; count > in_prompt_; --count) text->append(kReplacementCharacter);
  in_prompt_ = 0;
}

// All of pending_ but a character that may still become whole.
void IncrementalDetokenizer::AppendComplete(std::string* text) {
  size_t i = 0;
  while (i < pending_.size()) {
    const Utf8Step step = ReadUtf8(pending_, i);
    if (step.kind == Utf8Kind::kIncomplete) break;
    if (step.kind == Utf8Kind::kBroken) {
      AppendBroken(1, text);
    } else {
      text->append(pending_, i, step.length);
      in_prompt_ = 0;
    }
    i += step.length;
  }
  pending_.erase(0, i);
}

std::string IncrementalDetokenizer::Strip(std::string text) {
  size_t begin = 0;
  while (strip_left_ > 0 && begin < text.size()) {
    const CodePoint c = CodePointAt(text, begin);
    if (c.value != tokenizer_->parts().decoder.strip_char()) strip_left_ = 0;
    if (strip_left_ == 0) break;
    begin += c.length;
    --strip_left_;
  }
  return text.substr(begin);
}

}  // namespace quatrain
