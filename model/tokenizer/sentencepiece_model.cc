#include "model/tokenizer/sentencepiece_model.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/tokenizer/sentencepiece_proto.h"
#include "model/tokenizer/unicode.h"

namespace quatrain {
namespace {

using Piece = SentencePieceProto::Piece;

constexpr const char* kFile = "tokenizer.model";
constexpr const char* kMetaspace = "\u2581";

absl::Status Unsupported(std::string_view what) {
  return absl::UnimplementedError(
      absl::StrCat(kFile, ": ", std::string(what), " is not supported"));
}

absl::Status CheckSupported(const SentencePieceProto& model) {
  if (model.model_type != SentencePieceProto::kBpe)
    return Unsupported(
        absl::StrCat("model_type ", model.model_type, " (only 2, BPE, is)"));
  if (model.has_charsmap)
    return Unsupported(
        absl::StrCat("normalizer \"", model.normalizer_name, "\""));
  if (model.remove_extra_whitespaces)
    return Unsupported("remove_extra_whitespaces");
  if (model.whitespace_as_suffix)
    return Unsupported("treat_whitespace_as_suffix");
  if (!model.escape_whitespaces) return Unsupported("escape_whitespaces false");
  return absl::OkStatus();
}

// All ways to put each piece together from two others, the pieces of higher
// score first; equal scores by id, and within a piece by the ids of the halves.
void MakeMerges(const std::vector<Piece>& pieces, TokenizerDraft* draft) {
  struct Split {
    int32_t left, right, whole;
  };
  std::unordered_map<std::string_view, int32_t> ids;
  ids.reserve(pieces.size());
  for (size_t id = 0; id < pieces.size(); ++id)
    ids.emplace(pieces[id].text, static_cast<int32_t>(id));
  std::vector<Split> splits;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const std::string_view text = pieces[id].text;
    const size_t first = splits.size();
    for (size_t at = CodePointAt(text, 0).length; at < text.size();
         at += CodePointAt(text, at).length) {
      const auto left = ids.find(text.substr(0, at));
      const auto right = ids.find(text.substr(at));
      if (left != ids.end() && right != ids.end())
        splits.push_back(
            {left->second, right->second, static_cast<int32_t>(id)});
    }
    std::sort(splits.begin() + first, splits.end(),
              [](const Split& a, const Split& b) {
                return std::pair(a.left, a.right) < std::pair(b.left, b.right);
              });
  }
  std::stable_sort(splits.begin(), splits.end(),
                   [&](const Split& a, const Split& b) {
                     return pieces[a.whole].score > pieces[b.whole].score;
                   });
  draft->merges.reserve(splits.size());
  for (const Split& split : splits)
    draft->merges.emplace_back(pieces[split.left].text,
                               pieces[split.right].text);
}

// Control and unknown pieces are special; user-defined ones are found in the
// text before anything else, but are text.
absl::Status AddPieces(const std::vector<Piece>& pieces,
                       TokenizerDraft* draft) {
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    const auto id = static_cast<int32_t>(i);
    draft->vocab.emplace_back(piece.text, id);
    if (piece.type == SentencePieceProto::kByte) draft->byte_fallback = true;
    if (piece.type == SentencePieceProto::kUnknown) {
      if (draft->unk_token)
        return absl::InvalidArgumentError(
            absl::StrCat(kFile, ": two unknown pieces, \"", *draft->unk_token,
                         "\" and \"", piece.text, "\""));
      draft->unk_token = piece.text;
    }
    const bool special = piece.type == SentencePieceProto::kUnknown ||
                         piece.type == SentencePieceProto::kControl;
    if (!special && piece.type != SentencePieceProto::kUserDefined) continue;
    AddedToken token;
    token.id = id;
    token.content = piece.text;
    token.special = special;
    draft->added_tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

// Where U+2581 comes from: a blank, and the start of the text (or, in the
// legacy form, of every stretch between special tokens).
void SetPrefix(bool prefix, bool legacy, TokenizerDraft* draft) {
  if (legacy) {
    std::vector<NormalizerStep> steps;
    if (prefix) steps.push_back(PrependStep{kMetaspace});
    steps.push_back(ReplaceStep{LiteralPattern(" "), kMetaspace});
    draft->normalizer = Normalizer(std::move(steps));
  } else {
    draft->pre_tokenizer = PreTokenizer::FromSteps({MetaspaceStep{
        kMetaspace, prefix ? PrependScheme::kFirst : PrependScheme::kNever,
        /*split=*/false}});
  }
  draft->decoder = TextDecoder::ForSentencePiece(/*strip_first_blank=*/prefix);
}

// The pieces that SentencePiece itself uses for the two are control pieces of
// these spellings; the config may name others.
void SetBosEos(const std::vector<Piece>& pieces, TokenizerConfig* config) {
  const auto find = [&](const char* text, std::optional<std::string>* token) {
    for (const Piece& piece : pieces)
      if (!*token && piece.type == SentencePieceProto::kControl &&
          piece.text == text)
        *token = text;
  };
  find("<s>", &config->bos_token);
  find("</s>", &config->eos_token);
  config->bos_eos_by_flags = true;
}

}  // namespace

absl::StatusOr<TokenizerDraft> ReadSentencePieceModel(std::string_view bytes,
                                                      TokenizerConfig* config) {
  ASSIGN_OR_RETURN(const SentencePieceProto model,
                   ParseSentencePieceProto(bytes));
  RETURN_IF_ERROR(CheckSupported(model));
  TokenizerDraft draft;
  draft.file = kFile;
  draft.fuse_unk = true;
  RETURN_IF_ERROR(AddPieces(model.pieces, &draft));
  MakeMerges(model.pieces, &draft);
  SetPrefix(model.add_dummy_prefix && config->add_prefix_space, config->legacy,
            &draft);
  SetBosEos(model.pieces, config);
  return draft;
}

}  // namespace quatrain
