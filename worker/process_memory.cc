#include "worker/process_memory.h"

#include <malloc.h>

#include <algorithm>

#include "worker/cgroup_memory.h"
#include "worker/stat_file.h"

namespace quatrain {

int64_t AnonymousBytes() {
  return 1024 * NumberAfter("/proc/self/status", "RssAnon:");
}

int64_t AvailableBytes() {
  const int64_t free_bytes =
      1024 * NumberAfter("/proc/meminfo", "MemAvailable:");
  if (free_bytes == 0) return 0;
  return std::min(free_bytes, CgroupFreeBytes()) + AnonymousBytes();
}

void ReturnFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  mallopt(M_TRIM_THRESHOLD, 1 << 20);
  mallopt(M_ARENA_MAX, 2);
}

}  // namespace quatrain
