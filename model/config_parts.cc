#include "model/config_parts.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "spdlog/spdlog.h"

namespace quatrain {

absl::StatusOr<int> RequiredInt(const JsonObject& json, const std::string& key,
                                int64_t min, int64_t max) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> value, json.Int(key, min, max));
  if (!value) {
    return json.Wrong(key, absl::StrCat("an integer in ", min, "..", max));
  }
  return static_cast<int>(*value);
}

absl::StatusOr<int> IntOr(const JsonObject& json, const std::string& key,
                          int64_t min, int64_t max, int absent) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> value, json.Int(key, min, max));
  return static_cast<int>(value.value_or(absent));
}

absl::StatusOr<double> NumberOr(const JsonObject& json, const std::string& key,
                                double min, double max, double absent) {
  ASSIGN_OR_RETURN(const std::optional<double> value,
                   json.Number(key, min, max));
  return value.value_or(absent);
}

absl::StatusOr<bool> BoolOr(const JsonObject& json, const std::string& key,
                            bool absent) {
  ASSIGN_OR_RETURN(const std::optional<bool> value, json.Bool(key));
  return value.value_or(absent);
}

absl::StatusOr<std::vector<int>> TokenIds(const JsonObject& json,
                                          const std::string& key,
                                          int vocab_size) {
  const nlohmann::json* value = json.Find(key);
  std::vector<int> ids;
  if (value == nullptr) return ids;
  const std::string expected = absl::StrCat("a token id below vocab_size ",
                                            vocab_size, " or a list of them");
  const nlohmann::json list =
      value->is_array() ? *value : nlohmann::json::array({*value});
  for (const nlohmann::json& id : list) {
    if (!id.is_number_unsigned() ||
        id.get<uint64_t>() >= static_cast<uint64_t>(vocab_size))
      return json.Wrong(key, expected);
    ids.push_back(id.get<int>());
  }
  return ids;
}

void LogUnknownKeys(const JsonObject& json,
                    const std::set<std::string>& harmless) {
  static Mutex mutex;
  static std::set<std::string> logged;
  std::vector<std::string> unknown;
  for (const std::string& key : json.Unread()) {
    if (harmless.contains(key)) continue;
    unknown.push_back(absl::Utf8SafeCHexEscape(key.substr(0, 100)));
    if (unknown.size() == 32) break;
  }
  const std::string names = absl::StrJoin(unknown, ", ");
  MutexLock lock(&mutex);
  if (unknown.empty() || !logged.insert(json.what() + names).second) return;
  spdlog::info("{}: keys that are not used: {}", json.what(), names);
}

}  // namespace quatrain
