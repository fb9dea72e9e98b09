#include "worker/process_memory.h"

#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "worker/cgroup_memory.h"

namespace quatrain {
namespace {

// The value of line "`key`:   123 kB" of a file of /proc, in bytes; 0 if there
// is none.
int64_t ReadKilobytes(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  int64_t kilobytes = 0;
  while (file >> word) {
    if (word == key + ":" && file >> kilobytes) return kilobytes * 1024;
    file.clear();
  }
  return 0;
}

}  // namespace

int64_t AnonymousBytes() {
  return ReadKilobytes("/proc/self/status", "RssAnon");
}

int64_t AvailableBytes() {
  const int64_t free_bytes = ReadKilobytes("/proc/meminfo", "MemAvailable");
  if (free_bytes == 0) return 0;
  return std::min(free_bytes, CgroupFreeBytes()) + AnonymousBytes();
}

void ReturnFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  mallopt(M_TRIM_THRESHOLD, 1 << 20);
  mallopt(M_ARENA_MAX, 2);
}

}  // namespace quatrain
