#include "model/tokenizer/tokenizer_json.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status_macros.h"
#include "model/tokenizer/added_token_json.h"
#include "model/tokenizer/post_processor.h"

namespace quatrain {
namespace {

using nlohmann::json;

constexpr JsonLimits kLimits = {.max_depth = 16, .max_bytes = 128u << 20};

absl::Status Invalid(std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer.json: ", std::string(why)));
}

// Old files have no type; a vocabulary with merges is BPE.
absl::Status CheckModelType(const JsonObject& model) {
  ASSIGN_OR_RETURN(const std::optional<std::string> type, model.String("type"));
  if (type && *type != "BPE")
    return absl::UnimplementedError(absl::StrCat("tokenizer.json: model ",
                                                 type->substr(0, 60),
                                                 ": not supported, only BPE"));
  ASSIGN_OR_RETURN(const std::optional<double> dropout,
                   model.Number("dropout", 0, 1));
  if (dropout && *dropout > 0)
    return Invalid(
        absl::StrCat("model: dropout is ", *dropout, ", expected 0"));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    ASSIGN_OR_RETURN(const std::optional<std::string> text, model.String(key));
    if (text && !text->empty())
      return absl::UnimplementedError(
          absl::StrCat("tokenizer.json: model: ", key, " \"",
                       text->substr(0, 60), "\" is not supported"));
  }
  return absl::OkStatus();
}

absl::Status ReadVocab(const JsonObject& model, TokenizerDraft* draft) {
  const json* vocab = model.Find("vocab");
  if (vocab == nullptr || !vocab->is_object())
    return model.Wrong("vocab", "an object");
  draft->vocab.reserve(vocab->size());
  for (const auto& [text, id] : vocab->items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
      return Invalid(absl::StrCat("model: vocab \"", text.substr(0, 60),
                                  "\": expected an id >= 0"));
    draft->vocab.emplace_back(text, id.get<int32_t>());
  }
  return absl::OkStatus();
}

// "left right" or ["left", "right"].
absl::Status ReadMerge(const json& value, size_t rank, TokenizerDraft* draft) {
  if (value.is_array() && value.size() == 2 && value[0].is_string() &&
      value[1].is_string()) {
    draft->merges.emplace_back(value[0].get<std::string>(),
                               value[1].get<std::string>());
    return absl::OkStatus();
  }
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    const size_t blank = text.find(' ');
    if (blank != std::string::npos &&
        text.find(' ', blank + 1) == std::string::npos) {
      draft->merges.emplace_back(text.substr(0, blank), text.substr(blank + 1));
      return absl::OkStatus();
    }
  }
  return Invalid(absl::StrCat("model: merge ", rank,
                              ": expected \"left right\" or "
                              "[\"left\", \"right\"]"));
}

absl::Status ReadMerges(const JsonObject& model, TokenizerDraft* draft) {
  const json* merges = model.Find("merges");
  if (merges == nullptr || !merges->is_array())
    return model.Wrong("merges", "an array");
  draft->merges.reserve(merges->size());
  for (size_t rank = 0; rank < merges->size(); ++rank)
    RETURN_IF_ERROR(ReadMerge((*merges)[rank], rank, draft));
  return absl::OkStatus();
}

absl::Status ReadFlag(const JsonObject& object, const std::string& key,
                      bool* flag) {
  ASSIGN_OR_RETURN(const std::optional<bool> value, object.Bool(key));
  if (value) *flag = *value;
  return absl::OkStatus();
}

absl::Status ReadModel(const JsonObject& root, TokenizerDraft* draft) {
  const json* value = root.Find("model");
  if (value == nullptr) return root.Wrong("model", "an object");
  ASSIGN_OR_RETURN(const JsonObject model,
                   JsonObject::Of(*value, "tokenizer.json: model"));
  RETURN_IF_ERROR(CheckModelType(model));
  RETURN_IF_ERROR(ReadVocab(model, draft));
  RETURN_IF_ERROR(ReadMerges(model, draft));
  RETURN_IF_ERROR(ReadFlag(model, "byte_fallback", &draft->byte_fallback));
  RETURN_IF_ERROR(ReadFlag(model, "fuse_unk", &draft->fuse_unk));
  RETURN_IF_ERROR(ReadFlag(model, "ignore_merges", &draft->ignore_merges));
  ASSIGN_OR_RETURN(draft->unk_token, model.String("unk_token"));
  return absl::OkStatus();
}

absl::Status ReadAddedTokens(const JsonObject& root, TokenizerDraft* draft) {
  const json* list = root.Find("added_tokens");
  if (list == nullptr) return absl::OkStatus();
  if (!list->is_array()) return root.Wrong("added_tokens", "an array");
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string place =
        absl::StrCat("tokenizer.json: added_tokens[", i, "]");
    ASSIGN_OR_RETURN(const JsonObject entry, JsonObject::Of((*list)[i], place));
    ASSIGN_OR_RETURN(const std::optional<int64_t> id,
                     entry.Int("id", 0, INT32_MAX));
    if (!id) return entry.Wrong("id", "an integer");
    ASSIGN_OR_RETURN(
        AddedToken token,
        ReadAddedToken((*list)[i], static_cast<int32_t>(*id), place));
    draft->added_tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerDraft> ReadTokenizerJson(std::string_view text) {
  ASSIGN_OR_RETURN(const json value,
                   ParseJson(text, kLimits, "tokenizer.json"));
  ASSIGN_OR_RETURN(const JsonObject root,
                   JsonObject::Of(value, "tokenizer.json"));
  TokenizerDraft draft;
  draft.file = "tokenizer.json";
  RETURN_IF_ERROR(ReadModel(root, &draft));
  RETURN_IF_ERROR(ReadAddedTokens(root, &draft));
  const auto component = [&root](const char* key) {
    const json* found = root.Find(key);
    return found == nullptr ? json() : *found;
  };
  ASSIGN_OR_RETURN(draft.normalizer,
                   Normalizer::FromJson(component("normalizer")));
  ASSIGN_OR_RETURN(draft.pre_tokenizer,
                   PreTokenizer::FromJson(component("pre_tokenizer")));
  ASSIGN_OR_RETURN(draft.around,
                   ReadPostProcessor(component("post_processor")));
  ASSIGN_OR_RETURN(draft.decoder, TextDecoder::FromJson(component("decoder")));
  return draft;
}

}  // namespace quatrain
