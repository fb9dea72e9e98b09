#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "model/tokenizer/assemble.h"

namespace quatrain {

// Is this tokenizer.model the text format of tiktoken, one line
// "base64 rank" per token? SentencePiece's binary files never look so.
bool IsTiktokenModel(std::string_view bytes);

// Reads the tokenizer.model of Llama 3, which has the tokens only: the split
// pattern is known for its 128,000 tokens, the special tokens are taken from
// `config` (tokenizer_config.json). BOS goes before a text if `config` names
// one.
//
// InvalidArgument if a line is broken, Unimplemented for other vocabularies of
// this format and where `config` has no special tokens.
absl::StatusOr<TokenizerDraft> ReadTiktokenModel(std::string_view bytes,
                                                 const TokenizerConfig& config);

}  // namespace quatrain
