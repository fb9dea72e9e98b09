#include "base/json.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/mapped_file.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

using nlohmann::json;

// "line 3, column 7" of byte `position` (1-based, as the parser counts).
std::string Place(std::string_view text, size_t position) {
  const std::string_view before =
      text.substr(0, std::min(text.size(), position == 0 ? 0 : position - 1));
  const size_t line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t newline = before.rfind('\n');
  const size_t column =
      before.size() - (newline == std::string_view::npos ? 0 : newline + 1) + 1;
  return absl::StrCat("line ", line, ", column ", column);
}

// Builds the document. Returning false from an event stops the parser, which
// then says no more; error_ holds the reason.
class Builder : public nlohmann::json_sax<json> {
 public:
  explicit Builder(int max_depth) : max_depth_(max_depth) {}

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(int64_t value) override { return Add(value); }
  bool number_unsigned(uint64_t value) override { return Add(value); }
  bool number_float(double value, const std::string&) override {
    return Add(value);
  }
  bool string(std::string& value) override {
    if (value.find('\0') != std::string::npos)
      return Fail("\\u0000 in a string");
    return Add(std::move(value));
  }
  bool binary(json::binary_t&) override { return Fail("a binary value"); }
  bool start_object(size_t) override { return Open(json::object()); }
  bool start_array(size_t) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(std::string& value) override {
    if (value.find('\0') != std::string::npos) return Fail("\\u0000 in a key");
    if (open_.back()->contains(value))
      return Fail(absl::StrCat("key \"", value.substr(0, 100), "\" twice"));
    key_ = std::move(value);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    position_ = position;
    return Fail(error.id == 406 ? "a number too large" : "not valid JSON");
  }

  json&& document() { return std::move(document_); }
  const std::string& error() const { return error_; }
  size_t position() const { return position_; }

 private:
  bool Fail(std::string why) {
    error_ = std::move(why);
    return false;
  }
  json* Put(json value) {
    if (open_.empty()) return &(document_ = std::move(value));
    json& parent = *open_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }
  bool Add(json value) {
    Put(std::move(value));
    return true;
  }
  bool Open(json empty) {
    if (static_cast<int>(open_.size()) >= max_depth_)
      return Fail(absl::StrCat("nested deeper than ", max_depth_));
    // Pointers stay valid: a parent grows only after its child is closed.
    open_.push_back(Put(std::move(empty)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  const int max_depth_;
  json document_;
  std::vector<json*> open_;
  std::string key_, error_;
  size_t position_ = 0;
};

absl::Status Refused(std::string_view what, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(what), ": ", std::string(why)));
}

std::string Shortened(const json& value) {
  // replace: the value may have come from bytes that are not UTF-8.
  const std::string text =
      value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

std::string NumberText(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15
             ? absl::StrCat(static_cast<int64_t>(value))
             : absl::StrCat(value);
}

}  // namespace

absl::StatusOr<json> ParseJson(std::string_view text, JsonLimits limits,
                               std::string_view what) {
  if (text.size() > limits.max_bytes) {
    return Refused(what, absl::StrCat(text.size(), " bytes, at most ",
                                      limits.max_bytes, " are read"));
  }
  // The parser would take a NUL for the end and skip a byte order mark.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos)
    return Refused(what, absl::StrCat("NUL at ", Place(text, nul + 1)));
  if (text.starts_with("\xef\xbb\xbf"))
    return Refused(what, "begins with a byte order mark");
  Builder builder(limits.max_depth);
  if (!json::sax_parse(text, &builder)) {
    return Refused(what, builder.position() == 0
                             ? builder.error()
                             : absl::StrCat(builder.error(), " at ",
                                            Place(text, builder.position())));
  }
  return builder.document();
}

absl::StatusOr<json> ParseJsonFile(const std::string& path, JsonLimits limits) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const std::string_view text(
      reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  return ParseJson(text, limits, path);
}

absl::StatusOr<JsonObject> JsonObject::Of(const json& value,
                                          std::string_view what) {
  if (!value.is_object()) {
    return Refused(
        what, absl::StrCat("is ", Shortened(value), ", expected an object"));
  }
  return JsonObject(&value, std::string(what));
}

const json* JsonObject::Find(const std::string& key) const {
  read_.insert(key);
  const auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

bool JsonObject::Has(const std::string& key) const {
  const auto found = json_->find(key);
  return found != json_->end() && !found->is_null();
}

bool JsonObject::IsNull(const std::string& key) const {
  const auto found = json_->find(key);
  return found != json_->end() && found->is_null();
}

absl::Status JsonObject::Wrong(const std::string& key,
                               std::string_view expected) const {
  const auto found = json_->find(key);
  const std::string is = found == json_->end()
                             ? "is missing"
                             : absl::StrCat("is ", Shortened(*found));
  return Refused(what_, absl::StrCat("\"", key, "\" ", is, ", expected ",
                                     std::string(expected)));
}

absl::StatusOr<std::optional<int64_t>> JsonObject::Int(const std::string& key,
                                                       int64_t min,
                                                       int64_t max) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const std::string expected = absl::StrCat("an integer in ", min, "..", max);
  if (!value->is_number_integer()) return Wrong(key, expected);
  if (value->is_number_unsigned() &&
      value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    return Wrong(key, expected);
  const int64_t number = value->get<int64_t>();
  if (number < min || number > max) return Wrong(key, expected);
  return number;
}

absl::StatusOr<std::optional<double>> JsonObject::Number(const std::string& key,
                                                         double min,
                                                         double max) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const std::string expected =
      absl::StrCat("a number in ", NumberText(min), "..", NumberText(max));
  if (!value->is_number()) return Wrong(key, expected);
  const double number = value->get<double>();
  if (!(number >= min && number <= max)) return Wrong(key, expected);
  return number;
}

absl::StatusOr<std::optional<bool>> JsonObject::Bool(
    const std::string& key) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) return Wrong(key, "true or false");
  return value->get<bool>();
}

absl::StatusOr<std::optional<std::string>> JsonObject::String(
    const std::string& key) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return Wrong(key, "a string");
  return value->get<std::string>();
}

std::vector<std::string> JsonObject::Unread() const {
  std::vector<std::string> unread;
  for (const auto& [key, value] : json_->items())
    if (!read_.contains(key)) unread.push_back(key);
  return unread;
}

}  // namespace quatrain
