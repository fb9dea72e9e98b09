#include "model/tokenizer/split_pattern.h"

#include <utility>

#include "model/tokenizer/scanners.h"

namespace quatrain {
namespace {

class Literal : public SplitPattern {
 public:
  explicit Literal(std::string text) : text_(std::move(text)) {}

  absl::Status FindAll(std::string_view text,
                       std::vector<MatchRange>* matches) const override {
    for (size_t i = text.find(text_); i != std::string_view::npos;
         i = text.find(text_, i + text_.size()))
      matches->push_back({i, i + text_.size()});
    return absl::OkStatus();
  }

 private:
  std::string text_;
};

class Scanned : public SplitPattern {
 public:
  explicit Scanned(Scanner scan) : scan_(scan) {}

  absl::Status FindAll(std::string_view text,
                       std::vector<MatchRange>* matches) const override {
    scan_(text, matches);
    return absl::OkStatus();
  }

 private:
  Scanner scan_;
};

}  // namespace

std::unique_ptr<SplitPattern> LiteralPattern(std::string text) {
  return std::make_unique<Literal>(std::move(text));
}

absl::StatusOr<std::unique_ptr<SplitPattern>> RegexPattern(
    const std::string& regex) {
  if (const Scanner scan = FindScanner(regex); scan != nullptr)
    return std::make_unique<Scanned>(scan);
  return Pcre2Pattern(regex);
}

}  // namespace quatrain
