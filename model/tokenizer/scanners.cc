#include "model/tokenizer/scanners.h"

#include <algorithm>

#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

// A place in the text; the character there is decoded once, when it is reached.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) { Read(); }
  Cursor(std::string_view text, size_t position)
      : text_(text), position_(position) {
    Read();
  }

  bool at_end() const { return position_ == text_.size(); }
  size_t position() const { return position_; }
  char32_t value() const { return value_; }
  bool Is(uint8_t classes) const { return classes_ & classes; }
  // [^\s\p{L}\p{N}]
  bool IsSymbol() const {
    return !at_end() && !Is(kLetter | kNumber | kWhiteSpace);
  }
  bool IsLineBreak() const { return value_ == '\r' || value_ == '\n'; }

  void Next() {
    position_ += length_;
    Read();
  }
  void SkipAll(uint8_t classes) {
    while (Is(classes)) Next();
  }
  Cursor After() const {
    Cursor next = *this;
    next.Next();
    return next;
  }

 private:
  // At the end the character has no class and no value that a rule asks for.
  void Read() {
    if (at_end()) {
      length_ = 0, value_ = 0xFFFFFFFF, classes_ = 0;
      return;
    }
    const CodePoint c = CodePointAt(text_, position_);
    value_ = c.value, length_ = c.length, classes_ = CharClasses(c.value);
  }

  std::string_view text_;
  size_t position_ = 0;
  char32_t value_ = 0;
  int length_ = 0;
  uint8_t classes_ = 0;
};

// 's, 't, 'm, 'd, 'll, 've, 're: characters after the quote, 0 if none. With
// `fold`, in either case, and U+017F (long s) is an s.
int ContractionLength(Cursor after_quote, bool fold) {
  const auto letter = [fold](const Cursor& c) -> char32_t {
    if (!fold) return c.value();
    if (c.value() == 0x17F) return 's';
    return c.value() >= 'A' && c.value() <= 'Z' ? c.value() + 32 : c.value();
  };
  const char32_t first = letter(after_quote);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 1;
  if (first != 'l' && first != 'v' && first != 'r') return 0;
  const char32_t second = letter(after_quote.After());
  return second == (first == 'l' ? U'l' : U'e') ? 2 : 0;
}

bool TakeContraction(Cursor* cursor, bool fold) {
  if (cursor->value() != '\'') return false;
  int length = ContractionLength(cursor->After(), fold);
  if (length == 0) return false;
  for (cursor->Next(); length > 0; --length) cursor->Next();
  return true;
}

// \s+(?!\S)|\s+ where white space stands: the whole run at the end of the
// text, all but its last character before something else, a lone character.
void TakeSpace(std::string_view text, Cursor* cursor) {
  const size_t begin = cursor->position();
  cursor->SkipAll(kWhiteSpace);
  if (cursor->at_end()) return;
  const size_t last =
      cursor->position() - CodePointBefore(text, cursor->position()).length;
  if (last > begin) *cursor = Cursor(text, last);
}

void Gpt2Piece(std::string_view text, Cursor* cursor) {
  if (TakeContraction(cursor, false)) return;
  Cursor body = *cursor;
  if (body.value() == ' ') body.Next();
  if (body.Is(kLetter)) {
    body.SkipAll(kLetter);
  } else if (body.Is(kNumber)) {
    body.SkipAll(kNumber);
  } else if (body.IsSymbol()) {
    while (body.IsSymbol()) body.Next();
  } else {
    return TakeSpace(text, cursor);
  }
  *cursor = body;
}

// \s*[\r\n]+ where white space stands: through the last line break of the run.
bool TakeLineBreaks(Cursor* cursor) {
  Cursor end = *cursor;
  bool found = false;
  for (Cursor c = *cursor; c.Is(kWhiteSpace);) {
    const bool line_break = c.IsLineBreak();
    c.Next();
    if (line_break) end = c, found = true;
  }
  *cursor = end;
  return found;
}

// Llama 3 and Qwen 2 differ in how many digits stay together.
void Llama3Piece(std::string_view text, int max_digits, Cursor* cursor) {
  if (TakeContraction(cursor, true)) return;
  Cursor body = *cursor;
  if (!body.Is(kLetter | kNumber) && !body.IsLineBreak()) body.Next();
  if (body.Is(kLetter)) {
    body.SkipAll(kLetter);
    *cursor = body;
    return;
  }
  if (cursor->Is(kNumber)) {
    for (int i = 0; i < max_digits && cursor->Is(kNumber); ++i) cursor->Next();
    return;
  }
  body = *cursor;
  if (body.value() == ' ') body.Next();
  if (body.IsSymbol()) {
    while (body.IsSymbol()) body.Next();
    while (body.IsLineBreak()) body.Next();
    *cursor = body;
    return;
  }
  if (!TakeLineBreaks(cursor)) TakeSpace(text, cursor);
}

// These patterns cover every text: each piece begins where the last ended.
template <typename TakePiece>
void ScanPieces(std::string_view text, const TakePiece& take_piece,
                std::vector<MatchRange>* matches) {
  for (Cursor cursor(text); !cursor.at_end();) {
    const size_t begin = cursor.position();
    take_piece(&cursor);
    matches->push_back({begin, cursor.position()});
  }
}

void ScanGpt2(std::string_view text, std::vector<MatchRange>* matches) {
  ScanPieces(
      text, [text](Cursor* c) { Gpt2Piece(text, c); }, matches);
}

void ScanLlama3(std::string_view text, std::vector<MatchRange>* matches) {
  ScanPieces(
      text, [text](Cursor* c) { Llama3Piece(text, 3, c); }, matches);
}

void ScanQwen2(std::string_view text, std::vector<MatchRange>* matches) {
  ScanPieces(
      text, [text](Cursor* c) { Llama3Piece(text, 1, c); }, matches);
}

// White space up to the end of the text or up to a line feed.
void ScanTrailingSpace(std::string_view text,
                       std::vector<MatchRange>* matches) {
  for (Cursor cursor(text); !cursor.at_end();) {
    if (!cursor.Is(kWhiteSpace)) {
      cursor.Next();
      continue;
    }
    const size_t begin = cursor.position();
    size_t end = begin;  // the last line feed of the run, or the text's end
    for (; cursor.Is(kWhiteSpace); cursor.Next())
      if (cursor.value() == '\n') end = cursor.position();
    if (cursor.at_end()) end = cursor.position();
    if (end > begin) matches->push_back({begin, end});
  }
}

}  // namespace

Scanner FindScanner(std::string_view regex) {
  constexpr std::string_view kGpt2Long =
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  if (regex == kGpt2Pattern || regex == kGpt2Long) return ScanGpt2;
  if (regex == kLlama3Pattern) return ScanLlama3;
  if (regex == kQwen2Pattern) return ScanQwen2;
  if (regex == kTrailingSpacePattern) return ScanTrailingSpace;
  return nullptr;
}

}  // namespace quatrain
