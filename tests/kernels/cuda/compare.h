#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "tests/kernels/simt/runner.h"

namespace quatrain {

// All elements equal, which for floats as bits means bit for bit. Says how many
// differ and shows the first.
template <typename T>
void ExpectSame(const std::vector<T>& actual, const std::vector<T>& expected,
                const std::string& what, const char* file, int line) {
  size_t count = 0, first = 0;
  const size_t size = std::min(actual.size(), expected.size());
  for (size_t i = size; i-- > 0;) {
    if (actual[i] == expected[i]) continue;
    ++count;
    first = i;
  }
  std::string text = what;
  if (actual.size() != expected.size()) {
    text += ": " + std::to_string(actual.size()) + " elements, expected " +
            std::to_string(expected.size());
  } else if (count > 0) {
    char values[80];
    std::snprintf(values, sizeof(values), "%llx, expected %llx",
                  static_cast<unsigned long long>(actual[first]),
                  static_cast<unsigned long long>(expected[first]));
    text += ": " + std::to_string(count) + " of " + std::to_string(size) +
            " differ, the first at " + std::to_string(first) + ": " + values;
  }
  runner::Expect(count == 0 && actual.size() == expected.size(), text, file,
                 line);
}

}  // namespace quatrain

#define EXPECT_SAME(actual, expected, what) \
  ::quatrain::ExpectSame((actual), (expected), (what), __FILE__, __LINE__)
