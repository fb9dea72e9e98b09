#include "worker/shared_counter.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

#include "worker/spin_until.h"

namespace quatrain {
namespace {

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
                          absl::FunctionRef<bool()> go_on) {
  if (spin) SpinUntil([&] { return Reached(target); });
  while (true) {
    const uint32_t seen = value();
    if (static_cast<int32_t>(seen - target) >= 0) return true;
    if (!go_on()) return Reached(target);
    Block(seen);
  }
}

}  // namespace quatrain
