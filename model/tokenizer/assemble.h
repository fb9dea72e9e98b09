#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer/tokenizer_config.h"
#include "model/tokenizer/tokenizer_parts.h"

namespace quatrain {

// What a tokenizer file says, before its ids are checked against each other
// and tokenizer_config.json is laid over it.
struct TokenizerDraft {
  std::string file;  // "tokenizer.json", for messages
  std::vector<std::pair<std::string, int32_t>> vocab;
  std::vector<std::pair<std::string, std::string>> merges;  // by rank
  std::optional<std::string> unk_token;
  bool byte_fallback = false;
  bool fuse_unk = false;
  bool ignore_merges = false;
  std::vector<AddedToken> added_tokens;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  TextDecoder decoder;
  SpecialTokensAround around;
};

// Checks and joins both. InvalidArgument unless, added tokens included, ids
// are unique and fill 0 .. vocab_size - 1, and everything that names a token
// names one that exists.
absl::StatusOr<std::unique_ptr<TokenizerParts>> AssembleTokenizer(
    TokenizerDraft draft, const TokenizerConfig& config);

}  // namespace quatrain
