#pragma once

#include <algorithm>
#include <thread>

namespace quatrain {

// Of this machine, as far as this process may use them; at least 1.
inline int NumCores() {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace quatrain
