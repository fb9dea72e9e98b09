#pragma once

#include "absl/status/statusor.h"
#include "model/tokenizer/tokenizer_parts.h"
#include "nlohmann/json_fwd.hpp"

namespace quatrain {

// The "post_processor" of tokenizer.json, which may be null, for one text:
// TemplateProcessing, ByteLevel (nothing), Sequence.
absl::StatusOr<SpecialTokensAround> ReadPostProcessor(
    const nlohmann::json& json);

}  // namespace quatrain
