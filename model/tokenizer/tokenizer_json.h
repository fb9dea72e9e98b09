#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "model/tokenizer/assemble.h"

namespace quatrain {

// Reads a tokenizer.json: at most 128 MiB and 16 levels deep, a BPE model,
// components of a closed list. `truncation` and `padding` are ignored.
// InvalidArgument names what is wrong, Unimplemented the component we lack.
absl::StatusOr<TokenizerDraft> ReadTokenizerJson(std::string_view text);

}  // namespace quatrain
