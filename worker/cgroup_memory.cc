#include "worker/cgroup_memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "worker/stat_file.h"

namespace quatrain {
namespace {

// The group of the process, "/a/b"; "/" in a container's own view. Version 2
// has one line, "0::/a/b".
std::string GroupOf(const std::string& membership) {
  std::ifstream file(membership);
  std::string line;
  while (std::getline(file, line))
    if (line.starts_with("0::/")) return line.substr(3);
  return "";
}

// A file's one number; -1 for "max", or without one.
int64_t ReadNumber(const std::filesystem::path& path) {
  std::ifstream file(path);
  int64_t number;
  return file >> number ? number : -1;
}

int64_t FreeBytesOf(const std::filesystem::path& group) {
  const int64_t limit = ReadNumber(group / "memory.max");
  const int64_t used = ReadNumber(group / "memory.current");
  if (limit < 0 || used < 0) return kNoCgroupLimit;
  const int64_t cache = NumberAfter(group / "memory.stat", "inactive_file");
  return std::max<int64_t>(0, limit - used + cache);
}

}  // namespace

int64_t CgroupFreeBytes(const std::string& membership,
                        const std::string& root) {
  std::string group = GroupOf(membership);
  int64_t least = kNoCgroupLimit;
  while (!group.empty()) {  // each group limits those below
    least = std::min(least, FreeBytesOf(root + group));
    group.resize(group.size() > 1 ? std::max<size_t>(1, group.rfind('/')) : 0);
  }
  return least;
}

}  // namespace quatrain
