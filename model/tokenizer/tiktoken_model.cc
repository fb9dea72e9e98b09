#include "model/tokenizer/tiktoken_model.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/scanners.h"

namespace quatrain {
namespace {

constexpr size_t kLlama3Tokens = 128'000;
constexpr size_t kMaxTokenBytes = 1024;

struct Line {
  std::string token;  // bytes
  int32_t rank = 0;
};

absl::Status Invalid(size_t line, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer.model: line ", line, ": ", std::string(why)));
}

absl::Status ReadLine(std::string_view text, size_t number,
                      std::vector<std::string>* tokens) {
  const size_t blank = text.find(' ');
  Line line;
  if (blank == std::string_view::npos ||
      !absl::Base64Unescape(std::string(text.substr(0, blank)), &line.token) ||
      !absl::SimpleAtoi(std::string(text.substr(blank + 1)), &line.rank))
    return Invalid(number, "expected a token in base64 and its rank");
  if (line.token.empty() || line.token.size() > kMaxTokenBytes)
    return Invalid(number,
                   absl::StrCat("a token of ", line.token.size(),
                                " bytes, expected 1..", kMaxTokenBytes));
  if (line.rank < 0 || static_cast<size_t>(line.rank) != tokens->size())
    return Invalid(number, absl::StrCat("rank ", line.rank, ", expected ",
                                        tokens->size()));
  tokens->push_back(std::move(line.token));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ReadTokens(std::string_view bytes) {
  std::vector<std::string> tokens;
  for (size_t number = 1; !bytes.empty(); ++number) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    std::string_view text = bytes.substr(0, end);
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (!text.empty()) RETURN_IF_ERROR(ReadLine(text, number, &tokens));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  return tokens;
}

// tiktoken joins the two neighbours whose whole has the lowest rank. The same
// as merges: of each token in the order of ranks, all ways to put it together
// from two others.
void MakeMerges(const std::vector<std::string>& tokens, TokenizerDraft* draft) {
  std::unordered_map<std::string_view, size_t> ranks;
  ranks.reserve(tokens.size());
  for (size_t rank = 0; rank < tokens.size(); ++rank)
    ranks.emplace(tokens[rank], rank);
  std::vector<std::pair<size_t, size_t>> splits;  // of one token
  for (const std::string_view token : tokens) {
    splits.clear();
    for (size_t at = 1; at < token.size(); ++at) {
      const auto left = ranks.find(token.substr(0, at));
      const auto right = ranks.find(token.substr(at));
      if (left != ranks.end() && right != ranks.end())
        splits.emplace_back(left->second, right->second);
    }
    std::sort(splits.begin(), splits.end());
    for (const auto& [left, right] : splits)
      draft->merges.emplace_back(draft->vocab[left].first,
                                 draft->vocab[right].first);
  }
}

absl::Status SetPipeline(TokenizerDraft* draft) {
  SplitStep split;
  ASSIGN_OR_RETURN(split.pattern, RegexPattern(std::string(kLlama3Pattern)));
  draft->pre_tokenizer = PreTokenizer::FromSteps(
      {std::move(split),
       ByteLevelStep{/*add_prefix_space=*/false, /*use_regex=*/false}});
  draft->decoder = TextDecoder::ForByteLevel();
  draft->ignore_merges = true;
  return absl::OkStatus();
}

}  // namespace

bool IsTiktokenModel(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find('\n'));
  const size_t blank = line.find(' ');
  const auto only = [](std::string_view text, std::string_view allowed) {
    return !text.empty() &&
           text.find_first_not_of(allowed) == std::string_view::npos;
  };
  return blank != std::string_view::npos && line.size() < 4096 &&
         only(line.substr(0, blank),
              "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
              "0123456789+/=") &&
         only(line.substr(blank + 1), "0123456789\r");
}

absl::StatusOr<TokenizerDraft> ReadTiktokenModel(
    std::string_view bytes, const TokenizerConfig& config) {
  ASSIGN_OR_RETURN(const std::vector<std::string> tokens, ReadTokens(bytes));
  if (tokens.size() != kLlama3Tokens)
    return absl::UnimplementedError(absl::StrCat(
        "tokenizer.model: a tiktoken vocabulary of ", tokens.size(),
        " tokens is not supported, only Llama 3's of ", kLlama3Tokens,
        "; put the checkpoint's tokenizer.json beside it"));
  if (config.added_tokens.empty())
    return absl::UnimplementedError(
        "tokenizer.model: a tiktoken vocabulary has no special tokens; put "
        "the checkpoint's tokenizer.json or tokenizer_config.json beside it");
  TokenizerDraft draft;
  draft.file = "tokenizer.model";
  for (const std::string& token : tokens)
    draft.vocab.emplace_back(ToByteLevel(token),
                             static_cast<int32_t>(draft.vocab.size()));
  MakeMerges(tokens, &draft);
  RETURN_IF_ERROR(SetPipeline(&draft));
  for (const AddedToken& token : config.added_tokens)
    if (token.content == config.bos_token)
      draft.around.before.push_back(token.id);
  return draft;
}

}  // namespace quatrain
