#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/tokenizer/added_tokens.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/decoder.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/tokenizer.h"

namespace quatrain {

// The ids that stand around an encoded text.
struct SpecialTokensAround {
  std::vector<int32_t> before, after;
};

// A loaded tokenizer, whatever file it came from: the pipeline
//   text -> added tokens -> normalizer -> pre_tokenizer -> bpe -> around -> ids
//   ids -> decoder -> text
struct TokenizerParts {
  std::vector<std::string> texts;  // spelling by id, added tokens included
  std::unordered_map<std::string_view, int32_t> ids;  // views into texts
  std::vector<bool> special;                          // by id

  AddedTokens added_tokens;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  BpeModel bpe;
  SpecialTokensAround around;
  TextDecoder decoder;

  std::optional<int32_t> bos_token_id;
  std::optional<int32_t> eos_token_id;
  std::string digest;

  bool InVocabulary(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < texts.size();
  }
  // Does Decode give this token to the decoder?
  bool Shows(int32_t id, DecodeOptions options) const {
    return InVocabulary(id) && !(options.skip_special_tokens && special[id]);
  }
};

}  // namespace quatrain
