#include "model/tokenizer/normalizer.h"

#include <unicode/uchar.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/tokenizer/component_json.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/unicode_form.h"
#include "nlohmann/json.hpp"

namespace quatrain {
namespace {

using nlohmann::json;

absl::StatusOr<NormalizerStep> ReadReplace(const Component& component) {
  ASSIGN_OR_RETURN(const PatternText pattern, ReadPattern(component));
  ReplaceStep step;
  ASSIGN_OR_RETURN(step.content, component.String("content"));
  if (pattern.is_regex) {
    ASSIGN_OR_RETURN(step.pattern, RegexPattern(pattern.text));
  } else {
    step.pattern = LiteralPattern(pattern.text);
  }
  return step;
}

absl::StatusOr<NormalizerStep> ReadStep(const Component& component) {
  const std::string& type = component.type();
  if (type == "NFC") return UnicodeFormStep{UnicodeForm::kNfc};
  if (type == "NFD") return UnicodeFormStep{UnicodeForm::kNfd};
  if (type == "NFKC") return UnicodeFormStep{UnicodeForm::kNfkc};
  if (type == "NFKD") return UnicodeFormStep{UnicodeForm::kNfkd};
  if (type == "Lowercase") return LowercaseStep{};
  if (type == "StripAccents") return StripAccentsStep{};
  if (type == "Replace") return ReadReplace(component);
  if (type == "Prepend") {
    ASSIGN_OR_RETURN(std::string text, component.String("prepend"));
    return PrependStep{std::move(text)};
  }
  if (type == "Strip") {
    StripStep step;
    ASSIGN_OR_RETURN(step.left, component.Bool("strip_left", true));
    ASSIGN_OR_RETURN(step.right, component.Bool("strip_right", true));
    return step;
  }
  return component.Unknown();
}

// A few Replace steps can multiply a text without end.
constexpr size_t kMaxBytes = 256u << 20;

absl::Status CheckSize(size_t bytes) {
  if (bytes <= kMaxBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("tokenizer: the normalizer makes ", bytes,
                   " bytes of the text, at most ", kMaxBytes));
}

// Sequences in sequences are one sequence. The JSON's depth is bounded.
absl::Status ReadSteps(const json& value, std::vector<NormalizerStep>* steps) {
  ASSIGN_OR_RETURN(const Component component,
                   Component::Of(value, "normalizer"));
  if (component.type() != "Sequence") {
    ASSIGN_OR_RETURN(NormalizerStep step, ReadStep(component));
    steps->push_back(std::move(step));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const json* list, component.Array("normalizers"));
  for (const json& item : *list) RETURN_IF_ERROR(ReadSteps(item, steps));
  return absl::OkStatus();
}

// The text made of what `keep` gives for every character.
template <typename Map>
std::string MapChars(const std::string& text, const Map& map) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = CodePointAt(text, i);
    map(c.value, &result);
    i += c.length;
  }
  return result;
}

absl::Status Run(const PrependStep& step, std::string* text) {
  if (!text->empty()) text->insert(0, step.text);
  return CheckSize(text->size());
}

absl::Status Run(const ReplaceStep& step, std::string* text) {
  std::vector<MatchRange> matches;
  RETURN_IF_ERROR(step.pattern->FindAll(*text, &matches));
  if (matches.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(
      CheckSize(text->size() + matches.size() * step.content.size()));
  std::string result;
  size_t copied = 0;
  for (const auto& [begin, end] : matches) {
    result.append(*text, copied, begin - copied).append(step.content);
    copied = end;
  }
  result.append(*text, copied);
  *text = std::move(result);
  return absl::OkStatus();
}

absl::Status Run(const UnicodeFormStep& step, std::string* text) {
  ToUnicodeForm(step.form, text);
  return absl::OkStatus();
}

absl::Status Run(const LowercaseStep&, std::string* text) {
  *text = MapChars(*text, [](char32_t c, std::string* out) {
    // The only character whose lower case is two, whatever stands around it.
    if (c == 0x130) {
      out->append("i\u0307");
    } else {
      AppendUtf8(u_tolower(static_cast<UChar32>(c)), out);
    }
  });
  return absl::OkStatus();
}

absl::Status Run(const StripStep& step, std::string* text) {
  const auto is_space = [](CodePoint c) {
    return (CharClasses(c.value) & kWhiteSpace) != 0;
  };
  size_t begin = 0, end = text->size();
  while (step.left && begin < end && is_space(CodePointAt(*text, begin)))
    begin += CodePointAt(*text, begin).length;
  while (step.right && end > begin && is_space(CodePointBefore(*text, end)))
    end -= CodePointBefore(*text, end).length;
  *text = text->substr(begin, end - begin);
  return absl::OkStatus();
}

absl::Status Run(const StripAccentsStep&, std::string* text) {
  *text = MapChars(*text, [](char32_t c, std::string* out) {
    if (!(CharClasses(c) & kNonspacingMark)) AppendUtf8(c, out);
  });
  return absl::OkStatus();
}

}  // namespace

Normalizer::Normalizer(std::vector<NormalizerStep> steps)
    : steps_(std::move(steps)) {}

absl::StatusOr<Normalizer> Normalizer::FromJson(const json& value) {
  std::vector<NormalizerStep> steps;
  if (!value.is_null()) RETURN_IF_ERROR(ReadSteps(value, &steps));
  return Normalizer(std::move(steps));
}

absl::Status Normalizer::Apply(std::string* text) const {
  for (const NormalizerStep& step : steps_) {
    RETURN_IF_ERROR(
        std::visit([&](const auto& s) { return Run(s, text); }, step));
  }
  return absl::OkStatus();
}

}  // namespace quatrain
