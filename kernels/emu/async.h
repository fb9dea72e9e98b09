#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "kernels/emu/clock.h"
#include "kernels/emu/place.h"

// A block's asynchronous state of sm_90, emptied when a block starts.
namespace simt::emu {

struct Cta;
struct Lane;

// A bulk copy that has been issued and has not arrived.
struct BulkPending {
  std::function<void()> deliver;
  int64_t bytes;
  Place where;
};

struct Mbarrier {
  uint32_t count = 0;
  uint32_t pending = 0;  // arrivals that this phase still needs
  int64_t bytes = 0;     // expected and not arrived; copies may come first
  uint32_t parity = 0;   // of this phase
  std::vector<BulkPending> copies;
  MergedClock arriving;  // of the check build: who has come in this phase
  MergedClock passed;    // and in those before
};

// A warp's part of a wgmma: 16 rows.
struct WgmmaPending {
  int n;
  bool bf16;
  bool accumulate;
  bool a_in_registers;
  uint64_t a_descriptor;
  uint64_t b_descriptor;
  std::array<std::array<uint32_t, 4>, 32> a;
  std::array<float*, 32> d;
  uint32_t group;
  Place where;
};

struct WarpQueue {
  std::vector<WgmmaPending> pending;
  uint32_t open_group = 0;
  // Accumulators whose registers hold poison, by lane 0's address of them.
  std::map<float*, std::vector<std::vector<float>>> held;
  std::vector<std::array<uint64_t, 3>> issued;  // to compare with its group's
};

struct AsyncState {
  std::map<const void*, Mbarrier> mbarriers;
  std::map<int, WarpQueue> wgmma;  // by warp
};

// Fails if a block that has ended left something undone.
void CheckAsyncDone(Cta& cta);

}  // namespace simt::emu
