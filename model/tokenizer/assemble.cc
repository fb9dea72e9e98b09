#include "model/tokenizer/assemble.h"

#include <algorithm>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

constexpr int32_t kMaxVocabSize = 4'000'000;
constexpr size_t kMaxAddedTokens = 65'536;

class Assembler {
 public:
  Assembler(TokenizerDraft draft, const TokenizerConfig& config)
      : draft_(std::move(draft)),
        config_(config),
        parts_(std::make_unique<TokenizerParts>()) {}

  absl::StatusOr<std::unique_ptr<TokenizerParts>> Run() {
    RETURN_IF_ERROR(MergeAddedTokens());
    RETURN_IF_ERROR(MakeRoom());
    RETURN_IF_ERROR(PlaceVocab());
    RETURN_IF_ERROR(BuildBpe());
    RETURN_IF_ERROR(PlaceAddedTokens());
    parts_->normalizer = std::move(draft_.normalizer);
    parts_->pre_tokenizer = std::move(draft_.pre_tokenizer);
    RETURN_IF_ERROR(parts_->added_tokens.Build(
        draft_.added_tokens,
        [this](std::string* text) { return parts_->normalizer.Apply(text); }));
    parts_->decoder = std::move(draft_.decoder);
    RETURN_IF_ERROR(parts_->decoder.Prepare(parts_->texts));
    RETURN_IF_ERROR(SetBosEos());
    return std::move(parts_);
  }

 private:
  absl::Status Invalid(std::string_view why) const {
    return absl::InvalidArgumentError(
        absl::StrCat(draft_.file, ": ", std::string(why)));
  }

  // The config's entries win over the file's of the same content.
  absl::Status MergeAddedTokens() {
    std::unordered_map<std::string, size_t> places;
    std::vector<AddedToken>& tokens = draft_.added_tokens;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (!places.emplace(tokens[i].content, i).second)
        return Invalid(
            absl::StrCat("added token \"", tokens[i].content, "\" twice"));
    }
    for (const AddedToken& token : config_.added_tokens) {
      const auto [place, is_new] = places.emplace(token.content, tokens.size());
      if (is_new) {
        tokens.push_back(token);
      } else if (AddedToken& old = tokens[place->second]; old.id == token.id) {
        old = token;
      } else {
        return Invalid(absl::StrCat("added token \"", token.content,
                                    "\" has id ", old.id,
                                    ", tokenizer_config.json says ", token.id));
      }
    }
    if (tokens.size() > kMaxAddedTokens)
      return Invalid(absl::StrCat(tokens.size(), " added tokens, at most ",
                                  kMaxAddedTokens));
    return absl::OkStatus();
  }

  absl::Status CheckId(const std::string& text, int32_t id) const {
    if (id >= 0 && id < kMaxVocabSize) return absl::OkStatus();
    return Invalid(absl::StrCat("token \"", text.substr(0, 60), "\" has id ",
                                id, ", expected 0..", kMaxVocabSize - 1));
  }

  // Makes room for every id, so that views into the texts stay valid.
  absl::Status MakeRoom() {
    int32_t highest = -1;
    std::unordered_set<std::string_view> not_in_vocab;
    for (const AddedToken& token : draft_.added_tokens)
      not_in_vocab.insert(token.content);
    for (const auto& [text, id] : draft_.vocab) {
      RETURN_IF_ERROR(CheckId(text, id));
      highest = std::max(highest, id);
      not_in_vocab.erase(text);
    }
    for (const AddedToken& token : draft_.added_tokens) {
      if (!not_in_vocab.contains(token.content)) continue;
      RETURN_IF_ERROR(CheckId(token.content, token.id));
      highest = std::max(highest, token.id);
    }
    parts_->texts.resize(highest + 1);
    parts_->special.resize(highest + 1);
    taken_.resize(highest + 1);
    parts_->ids.reserve(highest + 1);
    return absl::OkStatus();
  }

  absl::Status Place(std::string text, int32_t id) {
    std::string& place = parts_->texts[id];
    if (taken_[id])
      return Invalid(absl::StrCat("id ", id, " is both \"", place.substr(0, 60),
                                  "\" and \"", text.substr(0, 60), "\""));
    taken_[id] = true;
    place = std::move(text);
    const auto [other, is_new] = parts_->ids.emplace(place, id);
    if (!is_new)
      return Invalid(absl::StrCat("token \"", place.substr(0, 60),
                                  "\" has ids ", other->second, " and ", id));
    return absl::OkStatus();
  }

  absl::Status PlaceVocab() {
    for (auto& [text, id] : draft_.vocab)
      RETURN_IF_ERROR(Place(std::move(text), id));
    draft_.vocab.clear();
    return absl::OkStatus();
  }

  // One whose content is in the vocabulary has the vocabulary's id.
  absl::Status PlaceAddedTokens() {
    for (AddedToken& token : draft_.added_tokens) {
      const auto found = parts_->ids.find(token.content);
      if (found == parts_->ids.end()) {
        RETURN_IF_ERROR(Place(token.content, token.id));
      } else {
        token.id = found->second;
      }
      parts_->special[token.id] = token.special;
    }
    const auto hole = std::find(taken_.begin(), taken_.end(), false);
    if (hole != taken_.end())
      return Invalid(absl::StrCat("no token has id ", hole - taken_.begin(),
                                  ", the highest is ", taken_.size() - 1));
    return absl::OkStatus();
  }

  // Before the added tokens are placed: merges do not know them.
  absl::Status BuildBpe() {
    const BpeModel::Vocab& vocab = parts_->ids;
    BpeOptions options;
    options.byte_level = draft_.pre_tokenizer.byte_level();
    options.byte_fallback = draft_.byte_fallback;
    options.fuse_unk = draft_.fuse_unk;
    options.ignore_merges = draft_.ignore_merges;
    if (draft_.unk_token) {
      const auto found = vocab.find(*draft_.unk_token);
      if (found == vocab.end())
        return Invalid(absl::StrCat("unk_token \"", *draft_.unk_token,
                                    "\" is not in the vocabulary"));
      options.unk_token = found->second;
    }
    const std::vector<std::pair<std::string_view, std::string_view>> merges(
        draft_.merges.begin(), draft_.merges.end());
    auto bpe = BpeModel::Build(vocab, merges, options);
    if (!bpe.ok()) return Invalid(std::string(bpe.status().message()));
    parts_->bpe = *std::move(bpe);
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<int32_t>> IdOf(
      const char* name, const std::optional<std::string>& text) const {
    if (!text) return std::nullopt;
    const auto found = parts_->ids.find(*text);
    if (found != parts_->ids.end()) return found->second;
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer_config.json: ", name, " \"", *text,
                     "\" is no token of ", draft_.file));
  }

  absl::Status SetBosEos() {
    ASSIGN_OR_RETURN(parts_->bos_token_id,
                     IdOf("bos_token", config_.bos_token));
    ASSIGN_OR_RETURN(parts_->eos_token_id,
                     IdOf("eos_token", config_.eos_token));
    for (const auto* ids : {&draft_.around.before, &draft_.around.after})
      for (const int32_t id : *ids)
        if (!parts_->InVocabulary(id))
          return Invalid(absl::StrCat("post_processor: id ", id,
                                      " is outside the vocabulary"));
    parts_->around = std::move(draft_.around);
    if (!config_.bos_eos_by_flags) return absl::OkStatus();
    parts_->around = {};
    RETURN_IF_ERROR(Surround("bos_token", config_.add_bos_token,
                             parts_->bos_token_id, &parts_->around.before));
    return Surround("eos_token", config_.add_eos_token, parts_->eos_token_id,
                    &parts_->around.after);
  }

  absl::Status Surround(const char* name, bool add, std::optional<int32_t> id,
                        std::vector<int32_t>* ids) {
    if (!add) return absl::OkStatus();
    if (!id)
      return absl::InvalidArgumentError(
          absl::StrCat("tokenizer_config.json: add_", name, " is true, but ",
                       name, " names no token"));
    ids->push_back(*id);
    return absl::OkStatus();
  }

  TokenizerDraft draft_;
  const TokenizerConfig& config_;
  std::unique_ptr<TokenizerParts> parts_;
  std::vector<bool> taken_;  // by id
};

}  // namespace

absl::StatusOr<std::unique_ptr<TokenizerParts>> AssembleTokenizer(
    TokenizerDraft draft, const TokenizerConfig& config) {
  return Assembler(std::move(draft), config).Run();
}

}  // namespace quatrain
