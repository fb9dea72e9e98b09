#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/tokenizer/split_pattern.h"
#include "nlohmann/json_fwd.hpp"

namespace quatrain {

// What becomes of the matches of a pattern and of the gaps between them.
enum class SplitBehavior {
  kIsolated,            // each match a piece
  kRemoved,             // matches are dropped
  kMergedWithPrevious,  // each match ends the gap before it
  kMergedWithNext,      // each match begins the gap after it
  kContiguous,          // neighbouring matches are one piece
};

enum class PrependScheme { kAlways, kFirst, kNever };

struct ByteLevelStep {
  bool add_prefix_space = true;  // a blank before pieces that begin without
  bool use_regex = true;         // cut by GPT-2's pattern
};
struct SplitStep {
  std::shared_ptr<const SplitPattern> pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // what matches is the gap
};
struct CharSplitStep {  // cuts at single characters that are ...
  uint8_t classes = 0;  // ... of one of these classes (unicode.h)
  char32_t value = 0;   // ... or this one, where classes is 0
  SplitBehavior behavior = SplitBehavior::kIsolated;
};
struct WordsStep {};  // \w+|[^\w\s]+, white space is dropped
struct MetaspaceStep {
  std::string replacement;  // stands for a blank: U+2581
  PrependScheme prepend = PrependScheme::kAlways;
  bool split = true;  // cut before each replacement
};
using PreTokenizerStep = std::variant<ByteLevelStep, SplitStep, CharSplitStep,
                                      WordsStep, MetaspaceStep>;

// A part of the text that no merge crosses.
struct Piece {
  std::string_view text;
  bool at_start = false;  // begins where the whole text began
};
struct Pieces {
  std::vector<Piece> list;
  // Of pieces that are not in the text. A deque never moves its strings, whose
  // bytes may lie inside them.
  std::deque<std::string> storage;
};

// Cuts normalized text into pieces. Default: one piece.
class PreTokenizer {
 public:
  PreTokenizer() = default;

  // The "pre_tokenizer" of tokenizer.json, which may be null: Sequence,
  // ByteLevel, Split, Digits, Punctuation, Metaspace, Whitespace,
  // WhitespaceSplit, CharDelimiterSplit.
  static absl::StatusOr<PreTokenizer> FromJson(const nlohmann::json& json);
  static PreTokenizer FromSteps(std::vector<PreTokenizerStep> steps);

  // Sets the pieces of `text`, which must stay alive as long as they do;
  // `at_start` as in Piece. ResourceExhausted if a pattern runs out of limits.
  absl::Status Cut(std::string_view text, bool at_start, Pieces* pieces) const;

  // There is a ByteLevel step: pieces are bytes and need not be UTF-8.
  bool byte_level() const { return byte_level_; }

 private:
  std::vector<PreTokenizerStep> steps_;
  bool byte_level_ = false;
};

}  // namespace quatrain
