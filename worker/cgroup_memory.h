#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace quatrain {

inline constexpr int64_t kNoCgroupLimit = std::numeric_limits<int64_t>::max();

// Bytes that this process's control groups (version 2) still leave it, file
// cache that would give way included: a container's memory limit, which
// /proc/meminfo knows nothing of. kNoCgroupLimit where there is none.
int64_t CgroupFreeBytes(const std::string& membership = "/proc/self/cgroup",
                        const std::string& root = "/sys/fs/cgroup");

}  // namespace quatrain
