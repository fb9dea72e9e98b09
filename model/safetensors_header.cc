#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/safetensors.h"
#include "nlohmann/json.hpp"

namespace quatrain {
namespace {

constexpr size_t kMaxNameBytes = 512;
constexpr size_t kMaxRank = 8;
constexpr uint64_t kMaxInteger = uint64_t{1} << 53;
constexpr size_t kMaxMetadataBytes = 1u << 20;

std::string Quoted(std::string_view text) {
  return absl::StrCat(
      "\"", absl::Utf8SafeCHexEscape(std::string(text.substr(0, 100))), "\"");
}

// Follows the parser's events through the one shape that a header may have:
// {"__metadata__": {text: text}, name: {dtype, shape: [..], data_offsets: [b,
// e]}}. No document is built, so memory stays near the header's size. Returning
// false stops the parser; error() says why.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(int64_t max_tensors) : max_tensors_(max_tensors) {}

  std::vector<TensorInfo>& tensors() { return tensors_; }
  const std::string& error() const { return error_; }

  bool start_object(size_t) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kTopValue:
        return name_ == "__metadata__" ? OpenMetadata() : OpenEntry();
      default:
        return Unexpected("an object");
    }
  }

  bool end_object() override {
    if (state_ == State::kEntry && !CloseEntry()) return false;
    state_ = state_ == State::kTop ? State::kEnd : State::kTop;
    return true;
  }

  bool key(std::string& value) override {
    if (value.find('\0') != std::string::npos) return Fail("\\u0000 in a key");
    switch (state_) {
      case State::kTop:
        name_ = std::move(value);
        state_ = State::kTopValue;
        return true;
      case State::kMetadata:
        metadata_bytes_ += value.size();
        if (!metadata_keys_.insert(value).second)
          return Fail(absl::StrCat("__metadata__: ", Quoted(value), " twice"));
        return true;
      default:
        return OpenField(value);
    }
  }

  bool string(std::string& value) override {
    if (value.find('\0') != std::string::npos)
      return Fail("\\u0000 in a string");
    if (state_ == State::kMetadata) {
      metadata_bytes_ += value.size();
      return metadata_bytes_ <= kMaxMetadataBytes ||
             Fail(absl::StrCat("__metadata__ of more than ", kMaxMetadataBytes,
                               " bytes"));
    }
    if (state_ != State::kDType) return Unexpected("a string");
    const std::optional<TensorDType> dtype = TensorDTypeOf(value);
    if (!dtype)
      return FailEntry(
          absl::StrCat("dtype ", Quoted(value), " is not one of the format's"));
    tensors_.back().dtype = *dtype;
    state_ = State::kEntry;
    return true;
  }

  bool start_array(size_t) override {
    if (state_ == State::kShape) {
      state_ = State::kShapeItems;
    } else if (state_ == State::kOffsets) {
      state_ = State::kOffsetItems;
    } else {
      return Unexpected("an array");
    }
    return true;
  }

  bool end_array() override {
    if (state_ == State::kOffsetItems && num_offsets_ != 2)
      return FailEntry(absl::StrCat("data_offsets of ", num_offsets_,
                                    " numbers, expected 2"));
    state_ = State::kEntry;
    return true;
  }

  bool number_unsigned(uint64_t value) override {
    if (state_ != State::kShapeItems && state_ != State::kOffsetItems)
      return Unexpected("a number");
    if (value > kMaxInteger)
      return FailEntry(absl::StrCat(value, " is more than 2^53"));
    return state_ == State::kShapeItems ? AddDimension(value)
                                        : AddOffset(value);
  }

  bool number_integer(int64_t) override { return Unexpected("a sign"); }
  bool number_float(double, const std::string& text) override {
    return Unexpected(absl::StrCat("the number ", text.substr(0, 40)));
  }
  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool binary(nlohmann::json::binary_t&) override {
    return Unexpected("a binary value");
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("not valid JSON at byte ", position));
  }

 private:
  enum class State {
    kStart,
    kTop,
    kTopValue,
    kMetadata,
    kEntry,
    kDType,
    kShape,
    kShapeItems,
    kOffsets,
    kOffsetItems,
    kEnd,
  };

  bool Fail(std::string why) {
    error_ = absl::StrCat("header: ", why);
    return false;
  }
  bool FailEntry(const std::string& why) {
    error_ = absl::StrCat(Quoted(name_), ": ", why);
    return false;
  }
  bool Unexpected(const std::string& what) {
    static constexpr const char* kExpected[] = {"an object",
                                                "a key",
                                                "an object",
                                                "a string",
                                                "a key",
                                                "a string",
                                                "an array of integers",
                                                "a plain integer >= 0",
                                                "an array of two integers",
                                                "a plain integer >= 0",
                                                "the end"};
    const std::string why = absl::StrCat(
        what, ", expected ", kExpected[static_cast<size_t>(state_)]);
    return state_ == State::kStart ? Fail(why) : FailEntry(why);
  }

  bool OpenMetadata() {
    if (has_metadata_) return Fail("__metadata__ twice");
    has_metadata_ = true;
    state_ = State::kMetadata;
    return true;
  }

  bool OpenEntry() {
    if (static_cast<int64_t>(tensors_.size()) >= max_tensors_)
      return Fail(absl::StrCat("more than ", max_tensors_, " tensors"));
    if (name_.size() > kMaxNameBytes)
      return FailEntry(absl::StrCat("a name of ", name_.size(),
                                    " bytes, at most ", kMaxNameBytes));
    tensors_.push_back({.name = name_});
    has_dtype_ = has_shape_ = has_offsets_ = false;
    num_offsets_ = 0;
    state_ = State::kEntry;
    return true;
  }

  bool OpenField(const std::string& field) {
    bool* seen = nullptr;
    if (field == "dtype") {
      seen = &has_dtype_, state_ = State::kDType;
    } else if (field == "shape") {
      seen = &has_shape_, state_ = State::kShape;
    } else if (field == "data_offsets") {
      seen = &has_offsets_, state_ = State::kOffsets;
    } else {
      return FailEntry(absl::StrCat("unknown key ", Quoted(field)));
    }
    if (*seen) return FailEntry(absl::StrCat(Quoted(field), " twice"));
    *seen = true;
    return true;
  }

  bool CloseEntry() {
    const char* missing = !has_dtype_     ? "dtype"
                          : !has_shape_   ? "shape"
                          : !has_offsets_ ? "data_offsets"
                                          : nullptr;
    return missing == nullptr ||
           FailEntry(absl::StrCat("no \"", missing, "\""));
  }

  bool AddDimension(uint64_t value) {
    std::vector<int64_t>& shape = tensors_.back().shape;
    if (shape.size() >= kMaxRank)
      return FailEntry(absl::StrCat("more than ", kMaxRank, " dimensions"));
    shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool AddOffset(uint64_t value) {
    if (num_offsets_ == 0) tensors_.back().begin = value;
    if (num_offsets_ == 1) tensors_.back().end = value;
    ++num_offsets_;
    return true;
  }

  const int64_t max_tensors_;
  State state_ = State::kStart;
  std::vector<TensorInfo> tensors_;
  std::string name_, error_;
  std::set<std::string> metadata_keys_;
  size_t metadata_bytes_ = 0;
  bool has_metadata_ = false;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  int num_offsets_ = 0;
};

absl::Status Refused(std::string_view what, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(what), ": ", why));
}

// What the parser itself would let pass.
absl::Status CheckText(std::string_view json, std::string_view what) {
  if (json.empty() || json.front() != '{')
    return Refused(what, "header: does not begin with {");
  if (json.find('\0') != std::string_view::npos)
    return Refused(what, "header: NUL inside");
  const size_t last = json.find_last_not_of(' ');
  if (json[last] != '}')
    return Refused(what, "header: something other than spaces after the }");
  return absl::OkStatus();
}

// Bytes that the shape and type of `info` need, or nullopt if that is no whole
// number of bytes or overflows.
std::optional<uint64_t> ExpectedBytes(const TensorInfo& info) {
  uint64_t bits = static_cast<uint64_t>(BitsOf(info.dtype));
  for (const int64_t dimension : info.shape)
    if (__builtin_mul_overflow(bits, static_cast<uint64_t>(dimension), &bits))
      return std::nullopt;
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

absl::Status CheckEntry(const TensorInfo& info, uint64_t data_bytes,
                        std::string_view what) {
  const std::string offsets =
      absl::StrCat("data_offsets [", info.begin, ", ", info.end, "]");
  const std::string name = Quoted(info.name);
  if (info.begin > info.end || info.end > data_bytes) {
    return Refused(what, absl::StrCat(name, ": ", offsets, ", the data has ",
                                      data_bytes, " bytes"));
  }
  const std::optional<uint64_t> bytes = ExpectedBytes(info);
  if (!bytes) {
    return Refused(what, absl::StrCat(name, ": shape ", ShapeText(info.shape),
                                      " of ", Name(info.dtype),
                                      " is no possible number of bytes"));
  }
  if (*bytes != info.end - info.begin) {
    return Refused(
        what,
        absl::StrCat(name, ": ", offsets, ", shape ", ShapeText(info.shape),
                     " of ", Name(info.dtype), " needs ", *bytes, " bytes"));
  }
  return absl::OkStatus();
}

// Sorted by begin, tensors must follow each other without hole or overlap from
// the first byte to the last.
absl::Status CheckContiguous(const std::vector<TensorInfo>& tensors,
                             uint64_t data_bytes, std::string_view what) {
  std::vector<const TensorInfo*> order;
  order.reserve(tensors.size());
  for (const TensorInfo& info : tensors) order.push_back(&info);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t end = 0;
  for (const TensorInfo* info : order) {
    if (info->begin != end) {
      return Refused(what, absl::StrCat(Quoted(info->name), ": begins at ",
                                        info->begin, ", expected ", end,
                                        ": tensors lie without hole or "
                                        "overlap"));
    }
    end = info->end;
  }
  if (end != data_bytes) {
    return Refused(what, absl::StrCat("tensors end at ", end, ", the data has ",
                                      data_bytes, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<TensorInfo>> ParseSafetensorsHeader(
    std::string_view json, uint64_t data_bytes, std::string_view what,
    const SafetensorsLimits& limits) {
  RETURN_IF_ERROR(CheckText(json, what));
  HeaderReader reader(limits.max_tensors);
  if (!nlohmann::json::sax_parse(json, &reader))
    return Refused(what, reader.error());
  std::vector<TensorInfo> tensors = std::move(reader.tensors());
  std::sort(tensors.begin(), tensors.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (i > 0 && tensors[i].name == tensors[i - 1].name)
      return Refused(what, absl::StrCat(Quoted(tensors[i].name), " twice"));
    RETURN_IF_ERROR(CheckEntry(tensors[i], data_bytes, what));
  }
  RETURN_IF_ERROR(CheckContiguous(tensors, data_bytes, what));
  return tensors;
}

}  // namespace quatrain
