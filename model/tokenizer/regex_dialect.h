#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quatrain {

// tokenizer.json's patterns are written for Oniguruma (Ruby syntax). Returns
// the PCRE2 pattern (UTF, UCP, MULTILINE) that matches the same, or
// Unimplemented naming the first construct that would mean something else or
// that we do not know.
//
// \s and \w become the sets that Oniguruma gives them: PCRE2's own \s has
// U+180E in it, and its \w lacks the marks.
absl::StatusOr<std::string> Pcre2FromOniguruma(std::string_view regex);

}  // namespace quatrain
