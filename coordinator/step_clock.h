#pragma once

#include <cstdint>
#include <deque>

#include "absl/time/time.h"
#include "base/steady_time.h"

namespace quatrain {

// Recent step times, and how long a step may take before the group counts as
// stuck. Times are given, not read. Not thread-safe.
class StepClock {
 public:
  struct Options {
    absl::Duration min_timeout = absl::Seconds(3);
    // Until enough steps were seen to know better.
    absl::Duration first_timeout = absl::Seconds(120);
    double median_factor = 20;
  };

  explicit StepClock(Options options) : options_(options) {}

  void Sent(int num_tokens, SteadyTime now);
  void Committed(SteadyTime now);  // the oldest one sent

  // Nobody took results up until now: what is in flight has all its time yet.
  void HeldUp(SteadyTime now) { held_up_until_ = now; }

  // Time of a step: from its sending or the commit before it, whichever is
  // later, to its own commit.
  absl::Duration median_step_time() const;

  // When the oldest step in flight is overdue; InfiniteFuture if none is. A
  // step of many tokens is allowed in proportion.
  SteadyTime deadline() const;
  absl::Duration timeout() const;  // of the oldest step in flight

 private:
  struct Step {
    int num_tokens = 0;
    SteadyTime start;
  };

  const Options options_;
  std::deque<Step> steps_;                  // in flight, oldest first
  std::deque<absl::Duration> step_times_;   // recent
  std::deque<absl::Duration> token_times_;  // the same per token
  SteadyTime last_commit_ = SteadyTime::InfinitePast();
  SteadyTime held_up_until_ = SteadyTime::InfinitePast();
};

}  // namespace quatrain
