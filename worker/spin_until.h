#pragma once

#include <chrono>

#include "base/pause_core.h"

namespace quatrain {

// Asks `done` again and again for some microseconds: longer than a decode
// step's imbalance between ranks mostly is, shorter than what a blocked thread
// costs twice. The caller blocks if it is still not true.
template <typename Done>
void SpinUntil(const Done& done) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::microseconds(50);
  while (!done() && Clock::now() < end) {
    for (int i = 0; i < 32 && !done(); ++i) PauseCore();
  }
}

}  // namespace quatrain
