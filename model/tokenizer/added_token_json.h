#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/tokenizer/added_tokens.h"
#include "nlohmann/json_fwd.hpp"

namespace quatrain {

// One entry of tokenizer.json's added_tokens or of tokenizer_config.json's
// added_tokens_decoder. `place` names it in errors. The content must be 1 to
// 1024 bytes.
absl::StatusOr<AddedToken> ReadAddedToken(const nlohmann::json& json,
                                          int32_t id, std::string_view place);

}  // namespace quatrain
