#include "coordinator/step_clock.h"

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace quatrain {
namespace {

constexpr size_t kRemembered = 64;
constexpr size_t kEnough = 8;  // to trust the median

void Remember(std::deque<absl::Duration>* times, absl::Duration time) {
  times->push_back(time);
  if (times->size() > kRemembered) times->pop_front();
}

absl::Duration Median(const std::deque<absl::Duration>& times) {
  if (times.empty()) return absl::ZeroDuration();
  std::vector<absl::Duration> sorted(times.begin(), times.end());
  const auto middle = sorted.begin() + sorted.size() / 2;
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

}  // namespace

void StepClock::Sent(int num_tokens, SteadyTime now) {
  steps_.push_back({.num_tokens = std::max(num_tokens, 1), .start = now});
}

void StepClock::Committed(SteadyTime now) {
  CHECK(!steps_.empty());
  const absl::Duration time =
      now - std::max(steps_.front().start, last_commit_);
  Remember(&step_times_, time);
  Remember(&token_times_, time / steps_.front().num_tokens);
  steps_.pop_front();
  last_commit_ = now;
}

absl::Duration StepClock::median_step_time() const {
  return Median(step_times_);
}

absl::Duration StepClock::timeout() const {
  if (step_times_.size() < kEnough || steps_.empty())
    return std::max(options_.first_timeout, options_.min_timeout);
  const absl::Duration usual = std::max(
      Median(step_times_), Median(token_times_) * steps_.front().num_tokens);
  return std::max(options_.min_timeout, usual * options_.median_factor);
}

SteadyTime StepClock::deadline() const {
  if (steps_.empty()) return SteadyTime::InfiniteFuture();
  return std::max({steps_.front().start, last_commit_, held_up_until_}) +
         timeout();
}

}  // namespace quatrain
