#include "model/tokenizer/post_processor.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/tokenizer/component_json.h"
#include "nlohmann/json.hpp"

namespace quatrain {
namespace {

using nlohmann::json;

// "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
absl::StatusOr<std::vector<int32_t>> IdsOf(const Component& component,
                                           const std::string& name) {
  const json* tokens = component.Find("special_tokens");
  const json* ids = nullptr;
  if (tokens != nullptr && tokens->is_object() && tokens->contains(name)) {
    const json& token = tokens->at(name);
    if (token.is_object() && token.contains("ids")) ids = &token.at("ids");
  }
  const absl::Status wrong = component.Wrong(absl::StrCat(
      "\"special_tokens\" has no ids of \"", name.substr(0, 60), "\""));
  if (ids == nullptr || !ids->is_array()) return wrong;
  std::vector<int32_t> result;
  for (const json& id : *ids) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
      return wrong;
    result.push_back(id.get<int32_t>());
  }
  return result;
}

// {"SpecialToken": {"id": "<s>"}} or {"Sequence": {"id": "A"}}: the id.
const std::string* IdIn(const json& item, const char* kind) {
  if (!item.is_object() || !item.contains(kind)) return nullptr;
  const json& body = item.at(kind);
  if (!body.is_object() || !body.contains("id") || !body.at("id").is_string())
    return nullptr;
  return body.at("id").get_ptr<const std::string*>();
}

absl::StatusOr<SpecialTokensAround> ReadTemplate(const Component& component) {
  ASSIGN_OR_RETURN(const json* single, component.Array("single"));
  SpecialTokensAround around;
  int num_texts = 0;
  for (const json& item : *single) {
    const std::string* sequence = IdIn(item, "Sequence");
    const std::string* token = IdIn(item, "SpecialToken");
    if (sequence != nullptr && *sequence == "A") {
      ++num_texts;
    } else if (token != nullptr) {
      ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                       IdsOf(component, *token));
      auto& side = num_texts == 0 ? around.before : around.after;
      side.insert(side.end(), ids.begin(), ids.end());
    } else {
      return component.Wrong(
          "\"single\": expected special tokens and the sequence A");
    }
  }
  if (num_texts != 1)
    return component.Wrong(absl::StrCat("\"single\" has the sequence A ",
                                        num_texts, " times, expected once"));
  return around;
}

}  // namespace

absl::StatusOr<SpecialTokensAround> ReadPostProcessor(const json& value) {
  if (value.is_null()) return SpecialTokensAround{};
  ASSIGN_OR_RETURN(const Component component,
                   Component::Of(value, "post_processor"));
  if (component.type() == "ByteLevel") return SpecialTokensAround{};
  if (component.type() == "TemplateProcessing") return ReadTemplate(component);
  if (component.type() != "Sequence") return component.Unknown();
  ASSIGN_OR_RETURN(const json* list, component.Array("processors"));
  SpecialTokensAround all;
  for (const json& item : *list) {
    ASSIGN_OR_RETURN(const SpecialTokensAround around, ReadPostProcessor(item));
    all.before.insert(all.before.begin(), around.before.begin(),
                      around.before.end());
    all.after.insert(all.after.end(), around.after.begin(), around.after.end());
  }
  return all;
}

}  // namespace quatrain
