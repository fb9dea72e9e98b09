#include "coordinator/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace quatrain {

StopMatcher::StopMatcher(std::vector<std::string> stops, bool include_stop)
    : include_stop_(include_stop) {
  for (std::string& stop : stops) patterns_.push_back(Prepare(std::move(stop)));
}

StopMatcher::Pattern StopMatcher::Prepare(std::string text) {
  CHECK(!text.empty());
  Pattern pattern{.text = std::move(text)};
  pattern.border.assign(pattern.text.size() + 1, 0);
  size_t border = 0;
  for (size_t i = 1; i < pattern.text.size(); ++i) {
    while (border > 0 && pattern.text[i] != pattern.text[border])
      border = pattern.border[border];
    if (pattern.text[i] == pattern.text[border]) ++border;
    pattern.border[i + 1] = border;
  }
  return pattern;
}

void StopMatcher::Advance(Pattern& pattern, char byte) {
  while (pattern.length > 0 && pattern.text[pattern.length] != byte)
    pattern.length = pattern.border[pattern.length];
  if (pattern.text[pattern.length] == byte) ++pattern.length;
}

const StopMatcher::Pattern* StopMatcher::Complete() const {
  const Pattern* longest = nullptr;
  for (const Pattern& pattern : patterns_) {
    if (pattern.length != pattern.text.size()) continue;
    if (!longest || pattern.length > longest->length) longest = &pattern;
  }
  return longest;
}

void StopMatcher::Cut(const Pattern& pattern) {
  matched_ = pattern.text;
  if (!include_stop_) held_.resize(held_.size() - pattern.text.size());
}

std::string StopMatcher::Push(std::string_view text) {
  if (matched_) return "";
  for (char byte : text) {
    held_.push_back(byte);
    for (Pattern& pattern : patterns_) Advance(pattern, byte);
    if (const Pattern* pattern = Complete()) {
      Cut(*pattern);
      return std::exchange(held_, "");
    }
  }
  // A prefix of a stop string starts with a whole character, so the cut is
  // between characters.
  size_t hold = 0;
  for (const Pattern& pattern : patterns_)
    hold = std::max(hold, pattern.length);
  std::string shown = held_.substr(0, held_.size() - hold);
  held_.erase(0, held_.size() - hold);
  return shown;
}

std::string StopMatcher::Finish() { return std::exchange(held_, ""); }

}  // namespace quatrain
