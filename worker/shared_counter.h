#pragma once

#include <atomic>
#include <cstdint>

#include "absl/functional/function_ref.h"

namespace quatrain {

// A number in shared memory that one rank counts up and others, of any process,
// wait for. Whoever owns the memory constructs it there before others map it;
// nobody destroys it.
class SharedCounter {
 public:
  uint32_t value() const { return value_.load(std::memory_order_acquire); }
  // Modulo 2^32; `target` is less than 2^31 away.
  bool Reached(uint32_t target) const {
    return static_cast<int32_t>(value() - target) >= 0;
  }

  // What the caller wrote before is seen by whoever sees the new value.
  void Advance();
  // Makes all who wait ask again whether to go on.
  void Wake();

  // Waits until Reached(target): true. Asks `go_on` from time to time, and ends
  // when that says no. `spin`: some microseconds before it blocks.
  bool Await(uint32_t target, bool spin, absl::FunctionRef<bool()> go_on);

 private:
  void Block(uint32_t seen);

  // On lines of their own: one is read by all who wait, the other written.
  alignas(64) std::atomic<uint32_t> value_{0};
  alignas(64) std::atomic<uint32_t> num_blocked_{0};
};

static_assert(std::atomic<uint32_t>::is_always_lock_free);

}  // namespace quatrain
