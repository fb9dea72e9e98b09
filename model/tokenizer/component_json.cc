#include "model/tokenizer/component_json.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/tokenizer/unicode.h"
#include "nlohmann/json.hpp"

namespace quatrain {
namespace {

using nlohmann::json;

absl::Status Invalid(std::string_view place, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(place), ": ", std::string(why)));
}

}  // namespace

absl::StatusOr<Component> Component::Of(const json& value,
                                        std::string_view step) {
  std::string place = absl::StrCat("tokenizer.json: ", std::string(step));
  if (!value.is_object())
    return Invalid(
        place, absl::StrCat("is ", value.type_name(), ", expected an object"));
  const auto type = value.find("type");
  if (type == value.end() || !type->is_string())
    return Invalid(place, "has no \"type\"");
  std::string name = type->get<std::string>();
  absl::StrAppend(&place, " ", name.substr(0, 100));
  return Component(&value, std::move(name), std::move(place));
}

const json* Component::Find(const std::string& key) const {
  const auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

absl::StatusOr<bool> Component::Bool(const std::string& key,
                                     bool otherwise) const {
  const json* value = Find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean())
    return Wrong(absl::StrCat("\"", key, "\" is ", value->type_name(),
                              ", expected true or false"));
  return value->get<bool>();
}

absl::StatusOr<int> Component::Int(const std::string& key, int min,
                                   int max) const {
  const json* value = Find(key);
  if (value == nullptr || !value->is_number_unsigned() ||
      value->get<uint64_t>() < static_cast<uint64_t>(min) ||
      value->get<uint64_t>() > static_cast<uint64_t>(max))
    return Wrong(
        absl::StrCat("\"", key, "\": expected an integer in ", min, "..", max));
  return value->get<int>();
}

absl::StatusOr<std::string> Component::String(const std::string& key) const {
  const json* value = Find(key);
  if (value == nullptr || !value->is_string())
    return Wrong(absl::StrCat("\"", key, "\": expected a string"));
  return value->get<std::string>();
}

absl::StatusOr<char32_t> Component::Char(const std::string& key) const {
  const json* value = Find(key);
  const auto wrong =
      Wrong(absl::StrCat("\"", key, "\": expected one character"));
  if (value == nullptr || !value->is_string()) return wrong;
  const auto& text = value->get_ref<const std::string&>();
  if (text.empty()) return wrong;
  const CodePoint c = CodePointAt(text, 0);
  if (c.length != static_cast<int>(text.size())) return wrong;
  return c.value;
}

absl::StatusOr<const json*> Component::Array(const std::string& key) const {
  const json* value = Find(key);
  if (value == nullptr || !value->is_array())
    return Wrong(absl::StrCat("\"", key, "\": expected an array"));
  return value;
}

absl::Status Component::Unknown() const {
  return absl::UnimplementedError(absl::StrCat(place_, ": not supported"));
}

absl::Status Component::Wrong(std::string_view why) const {
  return Invalid(place_, why);
}

absl::StatusOr<PatternText> ReadPattern(const Component& component) {
  const json* pattern = component.Find("pattern");
  PatternText result;
  const json* text = nullptr;
  if (pattern != nullptr && pattern->is_object() && pattern->size() == 1) {
    result.is_regex = pattern->contains("Regex");
    const auto found = pattern->find(result.is_regex ? "Regex" : "String");
    if (found != pattern->end() && found->is_string()) text = &*found;
  }
  if (text == nullptr)
    return component.Wrong(
        "\"pattern\": expected {\"String\": \"..\"} or {\"Regex\": \"..\"}");
  result.text = text->get<std::string>();
  if (result.text.empty()) return component.Wrong("\"pattern\" is empty");
  return result;
}

}  // namespace quatrain
