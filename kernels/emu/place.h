#pragma once

namespace simt {

// A line of a kernel source. Functions that a kernel calls take one as their
// last argument, by default the caller's (clang 14 has no std::source_location
// with libstdc++ 12).
struct Place {
  const char* file = "";
  int line = 0;

  static constexpr Place Here(const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
    return {file, line};
  }
};

}  // namespace simt
