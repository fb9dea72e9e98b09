#pragma once

#include <chrono>

#include "absl/time/time.h"

namespace quatrain {

// A moment of the clock that only goes forward. Timeouts and time spent are
// reckoned with it: absl::Now() jumps when NTP or an operator sets the clock.
// Behaves like absl::Time, but means nothing outside this process.
class SteadyTime {
 public:
  constexpr SteadyTime() = default;  // the clock's zero
  static SteadyTime Now() {
    return SteadyTime(
        absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()));
  }
  static constexpr SteadyTime InfiniteFuture() {
    return SteadyTime(absl::InfiniteDuration());
  }
  static constexpr SteadyTime InfinitePast() {
    return SteadyTime(-absl::InfiniteDuration());
  }

  friend SteadyTime operator+(SteadyTime time, absl::Duration duration) {
    return SteadyTime(time.since_zero_ + duration);
  }
  friend absl::Duration operator-(SteadyTime a, SteadyTime b) {
    return a.since_zero_ - b.since_zero_;
  }
  friend constexpr bool operator==(SteadyTime a, SteadyTime b) {
    return a.since_zero_ == b.since_zero_;
  }
  friend constexpr bool operator<(SteadyTime a, SteadyTime b) {
    return a.since_zero_ < b.since_zero_;
  }
  friend constexpr bool operator>(SteadyTime a, SteadyTime b) { return b < a; }
  friend constexpr bool operator<=(SteadyTime a, SteadyTime b) {
    return !(b < a);
  }
  friend constexpr bool operator>=(SteadyTime a, SteadyTime b) {
    return !(a < b);
  }

 private:
  explicit constexpr SteadyTime(absl::Duration since_zero)
      : since_zero_(since_zero) {}

  absl::Duration since_zero_;
};

}  // namespace quatrain
