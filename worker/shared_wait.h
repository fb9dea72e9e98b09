#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "worker/group_fault.h"
#include "worker/shared_counter.h"
#include "worker/shared_memory.h"

namespace quatrain {

// How a rank waits for its peers through shared memory, for one purpose.
struct SharedWait {
  std::string name;                           // of the purpose: "tensor group"
  std::chrono::milliseconds timeout{10'000};  // of each wait
  bool spin = false;  // some microseconds before it blocks
  std::shared_ptr<GroupFault> fault;
};

// What one rank waits for at another.
struct SharedPeer {
  int rank = 0;  // in the whole group
  std::shared_ptr<SharedMemory> memory;
  // In its memory or in ours; set by the peer when it leaves.
  const std::atomic<uint32_t>* left = nullptr;
  // Set by this side when it no longer waits; null: only a fault ends that.
  const std::atomic<bool>* closed = nullptr;
};

// Waits until `counter`, which `peer` counts up, has reached `target`. Else,
// and once the fault is raised or this side closed, false: it raises
// DeadlineExceeded, or Unavailable when the peer has left or its process has
// ended.
bool AwaitPeer(const SharedWait& wait, const SharedPeer& peer,
               SharedCounter* counter, uint32_t target);

}  // namespace quatrain
