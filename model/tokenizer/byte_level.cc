#include "model/tokenizer/byte_level.h"

#include <array>
#include <cstdint>

#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

constexpr int kFirstShifted = 0x100;
constexpr int kNumShifted = 68;

struct Alphabet {
  std::array<std::string, 256> chars;
  // Byte by code point, -1 where the code point stands for none.
  std::array<int16_t, kFirstShifted + kNumShifted> bytes;
};

bool StandsForItself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
         byte >= 174;
}

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet = [] {
    Alphabet made;
    made.bytes.fill(-1);
    int shifted = kFirstShifted;
    for (int byte = 0; byte < 256; ++byte) {
      const int code_point = StandsForItself(byte) ? byte : shifted++;
      AppendUtf8(code_point, &made.chars[byte]);
      made.bytes[code_point] = static_cast<int16_t>(byte);
    }
    return made;
  }();
  return alphabet;
}

}  // namespace

std::string_view ByteLevelChar(unsigned char byte) {
  return TheAlphabet().chars[byte];
}

std::string ToByteLevel(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 3 / 2);
  for (const char byte : bytes)
    text += ByteLevelChar(static_cast<unsigned char>(byte));
  return text;
}

std::optional<std::string> FromByteLevel(std::string_view text) {
  const auto& bytes = TheAlphabet().bytes;
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = CodePointAt(text, i);
    if (c.value >= bytes.size() || bytes[c.value] < 0) return std::nullopt;
    result.push_back(static_cast<char>(bytes[c.value]));
    i += c.length;
  }
  return result;
}

}  // namespace quatrain
