#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quatrain {

// Reads an amount of memory: digits alone are bytes; KiB MiB GiB TiB are powers
// of 1024 (their letters before the B in any case), KB MB GB TB powers of 1000;
// decimals are allowed with a unit and floored to the byte ("39.5GiB").
// InvalidArgument, with a proposal, for everything else: a small b without i
// ("40gb", which Hugging Face reads as bits), "40G", blanks, signs, and more
// than 2^60 bytes.
absl::StatusOr<int64_t> ParseByteSize(std::string_view text);

// For people: "512 bytes", "37.25 GiB". Two decimals, rounded to nearest.
std::string FormatByteSize(int64_t bytes);

}  // namespace quatrain
