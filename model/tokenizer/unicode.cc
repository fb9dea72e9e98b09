#include "model/tokenizer/unicode.h"

#include <unicode/uchar.h>

#include <vector>

namespace quatrain {
namespace {

// Bytes of the character that `lead` begins, 0 if none can; and the range its
// second byte must be in, which is what rules out overlong forms, surrogates
// and code points above U+10FFFF.
struct Lead {
  int length;
  uint8_t second_min, second_max;
};
Lead LeadOf(uint8_t lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

uint8_t ClassesOf(UChar32 c) {
  const uint32_t category = U_MASK(u_charType(c));
  uint8_t classes = 0;
  if (category & U_GC_L_MASK) classes |= kLetter;
  if (category & U_GC_N_MASK) classes |= kNumber;
  if (u_isUWhiteSpace(c)) classes |= kWhiteSpace;
  const bool ascii_symbol = c < 0x80 && (category & U_GC_S_MASK) != 0;
  if ((category & U_GC_P_MASK) || ascii_symbol) classes |= kPunctuation;
  if ((category & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) ||
      u_isUAlphabetic(c) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL))
    classes |= kWord;
  if (category & U_GC_MN_MASK) classes |= kNonspacingMark;
  return classes;
}

// 1.1 MB, made once: the scanners read it for every character.
const std::vector<uint8_t>& ClassTable() {
  static const std::vector<uint8_t> table = [] {
    std::vector<uint8_t> classes(UCHAR_MAX_VALUE + 1);
    for (UChar32 c = 0; c <= UCHAR_MAX_VALUE; ++c) classes[c] = ClassesOf(c);
    return classes;
  }();
  return table;
}

}  // namespace

Utf8Step ReadUtf8(std::string_view bytes, size_t position) {
  const Lead lead = LeadOf(static_cast<uint8_t>(bytes[position]));
  if (lead.length == 0) return {Utf8Kind::kBroken, 1};
  for (int i = 1; i < lead.length; ++i) {
    if (position + i == bytes.size()) return {Utf8Kind::kIncomplete, i};
    const auto byte = static_cast<uint8_t>(bytes[position + i]);
    const uint8_t min = i == 1 ? lead.second_min : 0x80;
    const uint8_t max = i == 1 ? lead.second_max : 0xBF;
    if (byte < min || byte > max) return {Utf8Kind::kBroken, i};
  }
  return {Utf8Kind::kCharacter, lead.length};
}

bool IsValidUtf8(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Step step = ReadUtf8(bytes, i);
    if (step.kind != Utf8Kind::kCharacter) return false;
    i += step.length;
  }
  return true;
}

void AppendLossyUtf8(std::string_view bytes, std::string* text) {
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Step step = ReadUtf8(bytes, i);
    text->append(step.kind == Utf8Kind::kCharacter
                     ? bytes.substr(i, step.length)
                     : kReplacementCharacter);
    i += step.length;
  }
}

CodePoint CodePointBefore(std::string_view text, size_t position) {
  do {
    --position;
  } while ((static_cast<uint8_t>(text[position]) & 0xC0) == 0x80);
  return CodePointAt(text, position);
}

void AppendUtf8(char32_t c, std::string* text) {
  const auto tail = [&](int shift) {
    text->push_back(static_cast<char>(0x80 | ((c >> shift) & 0x3F)));
  };
  if (c < 0x80) {
    text->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    text->push_back(static_cast<char>(0xC0 | c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    text->push_back(static_cast<char>(0xE0 | c >> 12));
    tail(6), tail(0);
  } else {
    text->push_back(static_cast<char>(0xF0 | c >> 18));
    tail(12), tail(6), tail(0);
  }
}

uint8_t CharClasses(char32_t code_point) {
  static const uint8_t* const table = ClassTable().data();
  return table[code_point];
}

}  // namespace quatrain
