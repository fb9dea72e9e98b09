#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quatrain {

// Finds the first stop string in a text that arrives in pieces, and holds back
// the tail that may still become one. How the text is cut into pieces does not
// change the outcome.
//
// The stop string that is complete first wins; of those that end at the same
// byte, the longest. Costs O(number of stop strings) per byte.
class StopMatcher {
 public:
  // `stops`: valid UTF-8, none empty. `include_stop` leaves the stop string in
  // the text.
  explicit StopMatcher(std::vector<std::string> stops,
                       bool include_stop = false);

  // Appends whole characters. Returns what may be shown now, whole characters
  // too; nothing after a match.
  std::string Push(std::string_view text);

  // The text has ended: what was held back.
  std::string Finish();

  // The stop string that matched.
  const std::optional<std::string>& matched() const { return matched_; }

 private:
  // Knuth-Morris-Pratt over one stop string.
  struct Pattern {
    std::string text;
    std::vector<size_t> border;  // of each prefix, indexed by its length
    size_t length = 0;           // of the prefix that the text ends with
  };
  static Pattern Prepare(std::string text);
  static void Advance(Pattern& pattern, char byte);
  const Pattern* Complete() const;
  void Cut(const Pattern& pattern);

  const bool include_stop_;
  std::vector<Pattern> patterns_;
  std::string held_;  // not shown yet
  std::optional<std::string> matched_;
};

}  // namespace quatrain
