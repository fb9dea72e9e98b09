#pragma once

namespace quatrain {

// Indices [begin, end).
struct Range {
  int begin = 0;
  int end = 0;

  int size() const { return end - begin; }
  bool empty() const { return begin >= end; }
  bool Contains(int index) const { return begin <= index && index < end; }
  bool operator==(const Range&) const = default;
};

}  // namespace quatrain
