#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace quatrain {

// The members of one component of tokenizer.json ({"type": "Digits", ...}).
// Every error names the component, as in
//   tokenizer.json: pre_tokenizer Digits: "individual_digits" is 3, expected
//   true or false
class Component {
 public:
  // `step` is the component's place: "normalizer", "decoder".
  static absl::StatusOr<Component> Of(const nlohmann::json& json,
                                      std::string_view step);

  const std::string& type() const { return type_; }
  const nlohmann::json* Find(const std::string& key) const;  // null: nullptr

  // Absent or null reads as `otherwise`.
  absl::StatusOr<bool> Bool(const std::string& key, bool otherwise) const;
  absl::StatusOr<int> Int(const std::string& key, int min, int max) const;
  absl::StatusOr<std::string> String(const std::string& key) const;
  // A string of exactly one character.
  absl::StatusOr<char32_t> Char(const std::string& key) const;
  absl::StatusOr<const nlohmann::json*> Array(const std::string& key) const;

  // Errors. Unknown: "tokenizer.json: normalizer Nmt: not supported".
  absl::Status Unknown() const;
  absl::Status Wrong(std::string_view why) const;

 private:
  Component(const nlohmann::json* json, std::string type, std::string place)
      : json_(json), type_(std::move(type)), place_(std::move(place)) {}

  const nlohmann::json* json_;
  std::string type_;
  std::string place_;
};

// {"String": ".."} or {"Regex": ".."}, as Replace and Split have it.
struct PatternText {
  bool is_regex = false;
  std::string text;  // not empty
};
absl::StatusOr<PatternText> ReadPattern(const Component& component);

}  // namespace quatrain
