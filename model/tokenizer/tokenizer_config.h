#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer/added_tokens.h"

namespace quatrain {

// What tokenizer_config.json, and special_tokens_map.json for what it leaves
// out, add to the tokenizer's own file.
struct TokenizerConfig {
  // The class builds BOS and EOS from the two flags and replaces the file's
  // post-processor: LlamaTokenizer and its kin, not Qwen2 or GPT-2.
  bool bos_eos_by_flags = false;
  bool add_bos_token = true;  // the defaults of those classes
  bool add_eos_token = false;

  std::optional<std::string> bos_token, eos_token;  // spellings

  // SentencePiece models only.
  bool legacy = true;  // U+2581 after every special token, not only
                       // at the start of the text
  bool add_prefix_space = true;

  std::vector<AddedToken> added_tokens;  // by rising id
};

// Both arguments are the files' contents, "" for a file that is not there.
// InvalidArgument names the file and the key.
absl::StatusOr<TokenizerConfig> ReadTokenizerConfig(
    std::string_view tokenizer_config, std::string_view special_tokens_map);

}  // namespace quatrain
