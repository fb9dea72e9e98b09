#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quatrain {

struct MatchRange {
  size_t begin, end;
  bool operator==(const MatchRange&) const = default;
};

// What a Split or a Replace looks for. Immutable, safe for many threads.
class SplitPattern {
 public:
  virtual ~SplitPattern() = default;

  // Appends all matches in `text` (valid UTF-8) from the left, none
  // overlapping. ResourceExhausted if the pattern runs out of its limits on
  // this text.
  virtual absl::Status FindAll(std::string_view text,
                               std::vector<MatchRange>* matches) const = 0;
};

// Exactly this text, not empty.
std::unique_ptr<SplitPattern> LiteralPattern(std::string text);

// A regular expression of tokenizer.json. The patterns that scanners.h knows
// byte for byte run there, in linear time; every other one in PCRE2.
// InvalidArgument if it does not compile, Unimplemented if it means something
// else in PCRE2 than in the engine it was written for (Oniguruma).
absl::StatusOr<std::unique_ptr<SplitPattern>> RegexPattern(
    const std::string& regex);

// The same, always in PCRE2: what the scanners are tested against.
absl::StatusOr<std::unique_ptr<SplitPattern>> Pcre2Pattern(
    const std::string& regex);

}  // namespace quatrain
