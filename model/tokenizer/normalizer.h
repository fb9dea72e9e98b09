#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/tokenizer/split_pattern.h"
#include "nlohmann/json_fwd.hpp"

namespace quatrain {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// The steps of a normalizer, applied to one stretch of text in order.
struct PrependStep {
  std::string text;  // put before a stretch that is not empty
};
struct ReplaceStep {
  std::shared_ptr<const SplitPattern> pattern;
  std::string content;
};
struct UnicodeFormStep {
  UnicodeForm form;
};
struct LowercaseStep {};  // each character by itself
struct StripStep {        // white space at the ends
  bool left = true;
  bool right = true;
};
struct StripAccentsStep {};  // drops nonspacing marks
using NormalizerStep = std::variant<PrependStep, ReplaceStep, UnicodeFormStep,
                                    LowercaseStep, StripStep, StripAccentsStep>;

// What is done to text before it is cut. Default: nothing.
class Normalizer {
 public:
  Normalizer() = default;
  explicit Normalizer(std::vector<NormalizerStep> steps);

  // The "normalizer" of tokenizer.json, which may be null: Sequence, NFC, NFD,
  // NFKC, NFKD, Prepend, Replace, Lowercase, Strip, StripAccents.
  static absl::StatusOr<Normalizer> FromJson(const nlohmann::json& json);

  // `text` is valid UTF-8 and stays so. ResourceExhausted if a Replace pattern
  // runs out of its limits.
  absl::Status Apply(std::string* text) const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace quatrain
