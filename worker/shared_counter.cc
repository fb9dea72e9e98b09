#include "worker/shared_counter.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <ctime>

#include "base/pause_core.h"

namespace quatrain {
namespace {

using Clock = std::chrono::steady_clock;

// Longer than a decode step's imbalance between ranks mostly is, shorter than
// what a blocked thread costs twice.
constexpr auto kSpin = std::chrono::microseconds(50);

// How often a blocked thread asks whether to go on. Mostly it is woken to ask;
// of a process that was killed nobody says so.
constexpr timespec kAsk = {.tv_sec = 0, .tv_nsec = 100'000'000};

}  // namespace

void SharedCounter::Advance() {
  // Sequentially consistent, as is Block(): either we see that somebody blocks,
  // or he sees the new value.
  value_.fetch_add(1);
  if (num_blocked_.load() > 0) Wake();
}

void SharedCounter::Wake() {
  syscall(SYS_futex, &value_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void SharedCounter::Block(uint32_t seen) {
  num_blocked_.fetch_add(1);
  // Returns at once if the value is another by now.
  if (value_.load() == seen)
    syscall(SYS_futex, &value_, FUTEX_WAIT, seen, &kAsk, nullptr, 0);
  num_blocked_.fetch_sub(1);
}

bool SharedCounter::Await(uint32_t target, bool spin,
                          const std::function<bool()>& go_on) {
  const Clock::time_point spin_end = Clock::now() + kSpin;
  while (spin && !Reached(target) && Clock::now() < spin_end) {
    for (int i = 0; i < 32 && !Reached(target); ++i) PauseCore();
  }
  while (true) {
    const uint32_t seen = value();
    if (static_cast<int32_t>(seen - target) >= 0) return true;
    if (!go_on()) return Reached(target);
    Block(seen);
  }
}

}  // namespace quatrain
