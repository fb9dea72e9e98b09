#pragma once

#include <string_view>
#include <vector>

#include "model/tokenizer/split_pattern.h"

namespace quatrain {

// Hand-written equals of the split patterns that most checkpoints have: one
// pass, linear in the text whatever it is, several times faster than a regex.
inline constexpr std::string_view kGpt2Pattern =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// DeepSeek's; a backtracking engine needs quadratic time on long white space.
inline constexpr std::string_view kTrailingSpacePattern = R"(\s+$)";

// Appends every match in `text` (valid UTF-8).
using Scanner = void (*)(std::string_view text,
                         std::vector<MatchRange>* matches);

// The scanner of `regex`, by its exact text; nullptr if there is none.
Scanner FindScanner(std::string_view regex);

}  // namespace quatrain
