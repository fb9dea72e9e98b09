#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace quatrain {

// The number that follows `word` in a file of the system such as
// /proc/meminfo ("MemAvailable:") or memory.stat; 0 if there is none.
inline int64_t NumberAfter(const std::string& path, const std::string& word) {
  std::ifstream file(path);
  std::string next;
  int64_t number = 0;
  while (file >> next) {
    if (next == word && file >> number) return number;
    file.clear();
  }
  return 0;
}

}  // namespace quatrain
