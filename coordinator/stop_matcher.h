#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quatrain {

// Finds the stop string that starts first in a text that arrives in pieces, and
// holds back the tail that may still become one. How it is cut into pieces does
// not change the outcome: it is that of a search through the whole text.
//
// A stop string that is complete therefore waits while one that starts before
// it may still be completed ("bc" for "abcd" after "abc"): what is shown cannot
// be taken back. Of those that start at the same byte the shortest wins, at
// once. Costs O(number of stop strings) per byte.
class StopMatcher {
 public:
  // `stops`: valid UTF-8, none empty. `include_stop` leaves the stop string in
  // the text.
  explicit StopMatcher(std::vector<std::string> stops,
                       bool include_stop = false);

  // Appends whole characters. Returns what may be shown now, whole characters
  // too; nothing after a match.
  std::string Push(std::string_view text);

  // The text has ended: what was held back. A stop string that waited matches
  // now.
  std::string Finish();

  // The stop string that matched, once nothing can take its place.
  const std::optional<std::string>& matched() const { return matched_; }

 private:
  // Knuth-Morris-Pratt over one stop string.
  struct Pattern {
    std::string text;
    std::vector<size_t> border;  // of each prefix, indexed by its length
    size_t length = 0;           // of the prefix that the text ends with

    bool complete() const { return length == text.size(); }
  };
  // A complete stop string, in held_.
  struct Match {
    size_t begin = 0;
    size_t pattern = 0;  // of patterns_
  };
  static Pattern Prepare(std::string text);
  static void Advance(Pattern& pattern, char byte);
  void TakeComplete();
  bool IsDecided() const;
  std::string Cut();

  const bool include_stop_;
  std::vector<Pattern> patterns_;
  std::string held_;               // not shown yet
  std::optional<Match> earliest_;  // complete, perhaps not decided
  std::optional<std::string> matched_;
};

}  // namespace quatrain
