#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "model/tokenizer/unicode.h"

namespace quatrain {

// Text that visits the rules of split patterns: mostly characters that they
// name, some of any script, some of any plane.
inline std::string RandomText(std::mt19937* random, int num_chars) {
  static constexpr char32_t kNamed[] = {
      ' ',  ' ',  ' ',    ' ',    '\n',   '\r',    '\t',   '\'',  '\'',  's',
      't',  'l',  'L',    'v',    'e',    'r',     'R',    'E',   'm',   'D',
      'a',  'Z',  '0',    '7',    '9',    '.',     ',',    '-',   '_',   '<',
      '>',  0xA0, 0xE9,   0x17F,  0x301,  0x3000,  0x4E2D, 0x661, 0xBD,  0x2028,
      0x85, 0x0B, 0x180E, 0x200B, 0x200D, 0x1F600, 0x2163, 0x130, 0x212A};
  std::string text;
  for (int i = 0; i < num_chars; ++i) {
    const uint32_t kind = (*random)() % 20;
    char32_t c = kNamed[(*random)() % std::size(kNamed)];
    if (kind == 0) c = (*random)() % 0x3000;
    if (kind == 1) c = (*random)() % 0x110000;
    if (c >= 0xD800 && c < 0xE000) c = '?';
    AppendUtf8(c, &text);
  }
  return text;
}

}  // namespace quatrain
