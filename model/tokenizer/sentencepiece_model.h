#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "model/tokenizer/assemble.h"

namespace quatrain {

// Reads a SentencePiece tokenizer.model of type BPE and turns it into what its
// tokenizer.json would be: merges from the scores of the pieces, the dummy
// prefix as normalizer or pre-tokenizer, control pieces as special tokens. No
// SentencePiece is involved.
//
// Fills in what `config` leaves open: a folder with only this file is read as
// Transformers' LlamaTokenizer reads it.
//
// InvalidArgument if it is not such a file; Unimplemented, naming it, for
// other model types and a normalizer other than identity.
absl::StatusOr<TokenizerDraft> ReadSentencePieceModel(std::string_view bytes,
                                                      TokenizerConfig* config);

}  // namespace quatrain
