#include "model/tokenizer/regex_dialect.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

constexpr std::string_view kWordSet = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

class Translator {
 public:
  explicit Translator(std::string_view regex) : regex_(regex) {}

  absl::StatusOr<std::string> Run() {
    while (at_ < regex_.size()) RETURN_IF_ERROR(Step());
    return std::move(result_);
  }

 private:
  absl::Status Step() {
    if (regex_[at_] == '\\') return Escape();
    if (in_class_) return InClass();
    if (regex_[at_] == '[') {
      in_class_ = true;
      Copy(1);
      if (Ahead("^")) Copy(1);
      if (Ahead("]")) return Refuse("[]");
      return absl::OkStatus();
    }
    if (Ahead("(?")) return Group();
    Copy(1);
    return absl::OkStatus();
  }

  absl::Status InClass() {
    if (Ahead("&&")) return Refuse("[..&&..]");
    if (Ahead("[")) return Refuse("[..[..]..]");
    if (Ahead("]")) in_class_ = false;
    Copy(1);
    return absl::OkStatus();
  }

  absl::Status Group() {
    for (const std::string_view same :
         {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
      if (!Ahead(same)) continue;
      Copy(same.size());
      return absl::OkStatus();
    }
    return Refuse(regex_.substr(at_, 4));
  }

  absl::Status Escape() {
    if (at_ + 1 == regex_.size()) return Refuse("\\ at the end");
    const char c = regex_[at_ + 1];
    switch (c) {
      case 's':
        return Replace(R"(\p{White_Space})");
      case 'S':
        return Replace(R"(\P{White_Space})");
      case 'w':
        return Replace(in_class_ ? std::string(kWordSet)
                                 : absl::StrCat("[", WordSet(), "]"));
      case 'W':
        if (in_class_) return Refuse("[..\\W..]");
        return Replace(absl::StrCat("[^", WordSet(), "]"));
      case 'u':
        return HexEscape();
      default:
        break;
    }
    // Escapes of the same meaning in both, and escaped punctuation.
    const bool letter_or_digit = (c >= '0' && c <= '9') ||
                                 (c >= 'a' && c <= 'z') ||
                                 (c >= 'A' && c <= 'Z');
    if (letter_or_digit &&
        std::string_view("pPdDrntfxeAz").find(c) == std::string_view::npos)
      return Refuse(regex_.substr(at_, 2));
    Copy(2);
    return absl::OkStatus();
  }

  absl::Status HexEscape() {  // \uHHHH
    const std::string_view digits = regex_.substr(at_ + 2).substr(0, 4);
    if (digits.size() < 4 ||
        digits.find_first_not_of("0123456789abcdefABCDEF") !=
            std::string_view::npos)
      return Refuse(regex_.substr(at_, 6));
    result_ += absl::StrCat("\\x{", std::string(digits), "}");
    at_ += 6;
    return absl::OkStatus();
  }

  static std::string WordSet() { return std::string(kWordSet); }
  bool Ahead(std::string_view text) const {
    return regex_.substr(at_).starts_with(text);
  }
  void Copy(size_t bytes) {
    result_ += regex_.substr(at_, bytes);
    at_ += bytes;
  }
  absl::Status Replace(std::string_view text) {
    result_ += text;
    at_ += 2;
    return absl::OkStatus();
  }
  absl::Status Refuse(std::string_view construct) const {
    return absl::UnimplementedError(
        absl::StrCat("regex \"", std::string(regex_.substr(0, 200)),
                     "\": ", std::string(construct), " is not supported"));
  }

  std::string_view regex_;
  size_t at_ = 0;
  bool in_class_ = false;
  std::string result_;
};

}  // namespace

absl::StatusOr<std::string> Pcre2FromOniguruma(std::string_view regex) {
  return Translator(regex).Run();
}

}  // namespace quatrain
