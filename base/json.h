#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quatrain {

struct JsonLimits {
  int max_depth = 16;           // of nested objects and arrays
  size_t max_bytes = 1u << 20;  // of text
};

// Parses one JSON document, strictly: valid UTF-8 without a byte order mark, no
// NUL (written as \u0000 neither), no key twice in one object, no comments, no
// numbers beyond a double, nothing after the document. Does not recurse.
// InvalidArgument, naming `what` and the place, for anything else.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text,
                                         JsonLimits limits,
                                         std::string_view what);

// The same of a file's content; `what` in messages is its path. NotFound if
// there is no such file.
absl::StatusOr<nlohmann::json> ParseJsonFile(const std::string& path,
                                             JsonLimits limits);

// Reads typed members of one JSON object, remembering which were asked for.
// A member that is absent or null reads as nullopt; one of another type or out
// of range is InvalidArgument:
//   config.json: "num_hidden_layers" is 0, expected an integer in 1..1024
//   config.json: "rms_norm_eps" is "x", expected a number in 0..1
class JsonObject {
 public:
  // `json` must outlive the object. InvalidArgument unless it is an object.
  static absl::StatusOr<JsonObject> Of(const nlohmann::json& json,
                                       std::string_view what);

  bool Has(const std::string& key) const;     // present and not null
  bool IsNull(const std::string& key) const;  // present, and null

  absl::StatusOr<std::optional<int64_t>> Int(const std::string& key,
                                             int64_t min, int64_t max) const;
  absl::StatusOr<std::optional<double>> Number(const std::string& key,
                                               double min, double max) const;
  absl::StatusOr<std::optional<bool>> Bool(const std::string& key) const;
  absl::StatusOr<std::optional<std::string>> String(
      const std::string& key) const;

  // The member itself, or nullptr if absent or null; counts as asked for.
  const nlohmann::json* Find(const std::string& key) const;

  // The error for member `key`, quoting its (shortened) value.
  absl::Status Wrong(const std::string& key, std::string_view expected) const;

  // Keys that no call has asked for, sorted.
  std::vector<std::string> Unread() const;

  const std::string& what() const { return what_; }

 private:
  JsonObject(const nlohmann::json* json, std::string what)
      : json_(json), what_(std::move(what)) {}

  const nlohmann::json* json_;
  std::string what_;
  mutable std::set<std::string> read_;
};

}  // namespace quatrain
