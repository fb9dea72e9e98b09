#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quatrain {

inline constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

// What stands at a place of a byte string that should be UTF-8.
enum class Utf8Kind {
  kCharacter,   // a whole, well-formed character
  kIncomplete,  // the bytes end inside a character that could still come
  kBroken,      // can never become a character
};
struct Utf8Step {
  Utf8Kind kind;
  // Bytes of the character, or of the longest well-formed start of one (>= 1):
  // what one U+FFFD replaces in the Unicode standard's recommended practice.
  int length;
};

// What the bytes from `position` on begin with; position < bytes.size().
Utf8Step ReadUtf8(std::string_view bytes, size_t position);

// No broken or incomplete character, no surrogate, no overlong form.
bool IsValidUtf8(std::string_view bytes);

// Appends `bytes` to `text` with a U+FFFD for each broken part.
void AppendLossyUtf8(std::string_view bytes, std::string* text);

struct CodePoint {
  char32_t value;
  int length;  // bytes, 1 to 4
};
// The character at `position` of text that is valid UTF-8.
inline CodePoint CodePointAt(std::string_view text, size_t position) {
  const auto byte = [&](size_t i) {
    return static_cast<uint8_t>(text[position + i]);
  };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3Fu), 2};
  if (lead < 0xF0)
    return {(lead & 0xF) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu), 3};
  return {(lead & 7) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 |
              (byte(3) & 0x3Fu),
          4};
}
// The character that ends before `position` > 0.
CodePoint CodePointBefore(std::string_view text, size_t position);

void AppendUtf8(char32_t code_point, std::string* text);

// Properties of code points, as bits; several may hold.
enum CharClass : uint8_t {
  kLetter = 1,           // general category L*
  kNumber = 2,           // N*
  kWhiteSpace = 4,       // White_Space
  kPunctuation = 8,      // P* and all of ASCII's punctuation
  kWord = 16,            // \w: alphabetic, marks, digits, connectors, joiners
  kNonspacingMark = 32,  // Mn
};
uint8_t CharClasses(char32_t code_point);

}  // namespace quatrain
