#include "model/tokenizer/added_token_json.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

constexpr size_t kMaxContentBytes = 1024;

absl::Status ReadFlag(const JsonObject& object, const std::string& key,
                      bool* flag) {
  ASSIGN_OR_RETURN(const std::optional<bool> value, object.Bool(key));
  if (value) *flag = *value;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AddedToken> ReadAddedToken(const nlohmann::json& value,
                                          int32_t id, std::string_view place) {
  ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, place));
  AddedToken token;
  token.id = id;
  ASSIGN_OR_RETURN(const std::optional<std::string> content,
                   object.String("content"));
  if (!content || content->empty())
    return object.Wrong("content", "a string that is not empty");
  if (content->size() > kMaxContentBytes)
    return object.Wrong("content",
                        absl::StrCat("at most ", kMaxContentBytes, " bytes"));
  token.content = *content;
  RETURN_IF_ERROR(ReadFlag(object, "special", &token.special));
  RETURN_IF_ERROR(ReadFlag(object, "single_word", &token.single_word));
  RETURN_IF_ERROR(ReadFlag(object, "lstrip", &token.lstrip));
  RETURN_IF_ERROR(ReadFlag(object, "rstrip", &token.rstrip));
  RETURN_IF_ERROR(ReadFlag(object, "normalized", &token.normalized));
  return token;
}

}  // namespace quatrain
