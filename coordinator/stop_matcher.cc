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
  if (pattern.complete()) pattern.length = pattern.border[pattern.length];
  while (pattern.length > 0 && pattern.text[pattern.length] != byte)
    pattern.length = pattern.border[pattern.length];
  if (pattern.text[pattern.length] == byte) ++pattern.length;
}

// A stop string that ends here takes the place of one that starts after it.
void StopMatcher::TakeComplete() {
  for (size_t i = 0; i < patterns_.size(); ++i) {
    if (!patterns_[i].complete()) continue;
    const size_t begin = held_.size() - patterns_[i].length;
    if (!earliest_ || begin < earliest_->begin) earliest_ = {begin, i};
  }
}

// Whether no unfinished stop string starts before the complete one. `length` is
// that of the unfinished one that starts first.
bool StopMatcher::IsDecided() const {
  return std::none_of(
      patterns_.begin(), patterns_.end(), [&](const Pattern& p) {
        return !p.complete() && held_.size() - p.length < earliest_->begin;
      });
}

std::string StopMatcher::Cut() {
  const std::string& stop = patterns_[earliest_->pattern].text;
  matched_ = stop;
  held_.resize(earliest_->begin + (include_stop_ ? stop.size() : 0));
  return std::exchange(held_, "");
}

std::string StopMatcher::Push(std::string_view text) {
  if (matched_) return "";
  for (char byte : text) {
    held_.push_back(byte);
    for (Pattern& pattern : patterns_) Advance(pattern, byte);
    TakeComplete();
    if (earliest_ && IsDecided()) return Cut();
  }
  // A prefix of a stop string starts with a whole character, so the cut is
  // between characters. One that a complete stop string waits for starts before
  // that.
  size_t hold = 0;
  for (const Pattern& pattern : patterns_)
    hold = std::max(hold, pattern.length);
  std::string shown = held_.substr(0, held_.size() - hold);
  held_.erase(0, shown.size());
  if (earliest_) earliest_->begin -= shown.size();
  return shown;
}

std::string StopMatcher::Finish() {
  if (earliest_ && !matched_) return Cut();
  return std::exchange(held_, "");
}

}  // namespace quatrain
