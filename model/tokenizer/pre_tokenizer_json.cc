#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/tokenizer/component_json.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/unicode.h"
#include "nlohmann/json.hpp"

namespace quatrain {
namespace {

using nlohmann::json;

absl::StatusOr<SplitBehavior> ReadBehavior(const Component& component) {
  ASSIGN_OR_RETURN(const std::string name, component.String("behavior"));
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return component.Wrong(absl::StrCat("\"behavior\" is \"", name.substr(0, 60),
                                      "\", which is not supported"));
}

absl::StatusOr<PreTokenizerStep> ReadByteLevel(const Component& component) {
  ByteLevelStep step;
  ASSIGN_OR_RETURN(step.add_prefix_space,
                   component.Bool("add_prefix_space", true));
  ASSIGN_OR_RETURN(step.use_regex, component.Bool("use_regex", true));
  return step;
}

absl::StatusOr<PreTokenizerStep> ReadSplit(const Component& component) {
  ASSIGN_OR_RETURN(const PatternText pattern, ReadPattern(component));
  SplitStep step;
  ASSIGN_OR_RETURN(step.behavior, ReadBehavior(component));
  ASSIGN_OR_RETURN(step.invert, component.Bool("invert", false));
  if (pattern.is_regex) {
    ASSIGN_OR_RETURN(step.pattern, RegexPattern(pattern.text));
  } else {
    step.pattern = LiteralPattern(pattern.text);
  }
  return step;
}

absl::StatusOr<PreTokenizerStep> ReadDigits(const Component& component) {
  ASSIGN_OR_RETURN(const bool individual,
                   component.Bool("individual_digits", false));
  return CharSplitStep{
      kNumber, 0,
      individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous};
}

absl::StatusOr<PreTokenizerStep> ReadPunctuation(const Component& component) {
  SplitBehavior behavior = SplitBehavior::kIsolated;
  if (component.Find("behavior") != nullptr) {
    ASSIGN_OR_RETURN(behavior, ReadBehavior(component));
  }
  return CharSplitStep{kPunctuation, 0, behavior};
}

absl::StatusOr<PreTokenizerStep> ReadCharDelimiter(const Component& component) {
  ASSIGN_OR_RETURN(const char32_t delimiter, component.Char("delimiter"));
  return CharSplitStep{0, delimiter, SplitBehavior::kRemoved};
}

// Older files say add_prefix_space where newer ones say prepend_scheme.
absl::StatusOr<PrependScheme> ReadPrepend(const Component& component) {
  ASSIGN_OR_RETURN(const bool add, component.Bool("add_prefix_space", true));
  if (component.Find("prepend_scheme") == nullptr)
    return add ? PrependScheme::kAlways : PrependScheme::kNever;
  ASSIGN_OR_RETURN(const std::string name, component.String("prepend_scheme"));
  if (name == "never") return PrependScheme::kNever;
  if (!add)
    return component.Wrong(absl::StrCat("\"add_prefix_space\" is false, ",
                                        "\"prepend_scheme\" is not \"never\""));
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  return component.Wrong(
      absl::StrCat("\"prepend_scheme\" is \"", name.substr(0, 60),
                   "\", expected \"always\", \"first\" or \"never\""));
}

absl::StatusOr<PreTokenizerStep> ReadMetaspace(const Component& component) {
  MetaspaceStep step;
  ASSIGN_OR_RETURN(const char32_t replacement, component.Char("replacement"));
  AppendUtf8(replacement, &step.replacement);
  ASSIGN_OR_RETURN(step.prepend, ReadPrepend(component));
  ASSIGN_OR_RETURN(step.split, component.Bool("split", true));
  return step;
}

absl::StatusOr<PreTokenizerStep> ReadStep(const Component& component) {
  const std::string& type = component.type();
  if (type == "ByteLevel") return ReadByteLevel(component);
  if (type == "Split") return ReadSplit(component);
  if (type == "Digits") return ReadDigits(component);
  if (type == "Punctuation") return ReadPunctuation(component);
  if (type == "Metaspace") return ReadMetaspace(component);
  if (type == "CharDelimiterSplit") return ReadCharDelimiter(component);
  if (type == "Whitespace") return WordsStep{};
  if (type == "WhitespaceSplit")
    return CharSplitStep{kWhiteSpace, 0, SplitBehavior::kRemoved};
  return component.Unknown();
}

// After ByteLevel, text is in its alphabet; steps that write characters into
// it, or spell it again, would leave the alphabet.
absl::Status CheckOrder(const Component& component, bool after_byte_level) {
  const bool writes =
      component.type() == "ByteLevel" || component.type() == "Metaspace";
  if (!writes || !after_byte_level) return absl::OkStatus();
  return component.Wrong("after ByteLevel is not supported");
}

absl::Status ReadSteps(const json& value, bool* after_byte_level,
                       std::vector<PreTokenizerStep>* steps) {
  ASSIGN_OR_RETURN(const Component component,
                   Component::Of(value, "pre_tokenizer"));
  if (component.type() == "Sequence") {
    ASSIGN_OR_RETURN(const json* list, component.Array("pretokenizers"));
    for (const json& item : *list)
      RETURN_IF_ERROR(ReadSteps(item, after_byte_level, steps));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(PreTokenizerStep step, ReadStep(component));
  RETURN_IF_ERROR(CheckOrder(component, *after_byte_level));
  *after_byte_level |= component.type() == "ByteLevel";
  steps->push_back(std::move(step));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::FromJson(const json& value) {
  std::vector<PreTokenizerStep> steps;
  bool after_byte_level = false;
  if (!value.is_null())
    RETURN_IF_ERROR(ReadSteps(value, &after_byte_level, &steps));
  return FromSteps(std::move(steps));
}

}  // namespace quatrain
