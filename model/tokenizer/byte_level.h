#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quatrain {

// The byte-level alphabet of GPT-2: each byte has a printable character that
// stands for it in vocabularies and between pre-tokenizers. Bytes 33-126,
// 161-172 and 174-255 are the code point of the same number, the other 68 in
// rising order U+0100, U+0101, ... (a blank is U+0120, a line feed U+010A).

// The UTF-8 of the character that stands for `byte`.
std::string_view ByteLevelChar(unsigned char byte);

// `bytes` in the alphabet.
std::string ToByteLevel(std::string_view bytes);

// The bytes that `text` (valid UTF-8) spells; nullopt if one of its characters
// is not in the alphabet.
std::optional<std::string> FromByteLevel(std::string_view text);

}  // namespace quatrain
