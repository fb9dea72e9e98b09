#pragma once

namespace quatrain {

// `bytes` in whole cache lines, so that two owners do not share one.
template <typename T>
constexpr T WholeLines(T bytes) {
  return (bytes + 63) / 64 * 64;
}

}  // namespace quatrain
