#include "model/tokenizer/split.h"

#include <algorithm>

namespace quatrain {
namespace {

struct Segment {
  size_t begin, end;
  bool is_match;
};

std::vector<Segment> Segments(size_t size,
                              const std::vector<MatchRange>& matches,
                              bool invert) {
  std::vector<Segment> segments;
  segments.reserve(matches.size() * 2 + 1);
  size_t done = 0;
  for (const auto& [begin, end] : matches) {
    if (done < begin) segments.push_back({done, begin, invert});
    segments.push_back({begin, end, !invert});
    done = end;
  }
  if (done < size) segments.push_back({done, size, invert});
  return segments;
}

// Joins each segment to the part before it where `joins(was_match, is_match)`.
template <typename Joins>
void Join(const std::vector<Segment>& segments, const Joins& joins,
          std::vector<MatchRange>* parts) {
  const size_t first = parts->size();
  bool was_match = false;
  for (const Segment& s : segments) {
    if (parts->size() > first && joins(was_match, s.is_match)) {
      parts->back().begin = std::min(parts->back().begin, s.begin);
      parts->back().end = std::max(parts->back().end, s.end);
    } else {
      parts->push_back({s.begin, s.end});
    }
    was_match = s.is_match;
  }
}

bool MatchAfterGap(bool was_match, bool is_match) {
  return is_match && !was_match;
}

}  // namespace

void SplitByMatches(size_t size, const std::vector<MatchRange>& matches,
                    bool invert, SplitBehavior behavior,
                    std::vector<MatchRange>* parts) {
  std::vector<Segment> segments = Segments(size, matches, invert);
  switch (behavior) {
    case SplitBehavior::kIsolated:
      for (const Segment& s : segments) parts->push_back({s.begin, s.end});
      break;
    case SplitBehavior::kRemoved:
      for (const Segment& s : segments)
        if (!s.is_match) parts->push_back({s.begin, s.end});
      break;
    case SplitBehavior::kContiguous:
      Join(
          segments, [](bool was, bool is) { return was == is; }, parts);
      break;
    case SplitBehavior::kMergedWithPrevious:
      Join(segments, MatchAfterGap, parts);
      break;
    case SplitBehavior::kMergedWithNext: {
      const size_t first = parts->size();
      std::reverse(segments.begin(), segments.end());
      Join(segments, MatchAfterGap, parts);
      std::reverse(parts->begin() + first, parts->end());
      break;
    }
  }
}

}  // namespace quatrain
