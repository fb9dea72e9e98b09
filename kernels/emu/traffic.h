#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <unordered_map>

#include "kernels/emu/access.h"

// Warp instructions put together again from the accesses of single lanes: the
// k-th time that a lane comes to a place in the code belongs to the k-th time
// of the others.
namespace simt::emu {

struct Lane;
struct Cta;

struct WarpAccess {
  uint32_t lanes = 0;
  std::array<const void*, 32> addresses;
};

class AccessLog {
 public:
  enum class Kind : uint8_t { kRead, kWrite, kShared };

  void Add(const Lane& me, uint32_t existing, Kind kind, const void* address,
           int bytes, uint32_t origin);
  // Counts what came incomplete; of a block that has ended.
  void Flush();

 private:
  struct Series {
    Kind kind;
    int bytes;
    std::array<uint32_t, 32> times = {};  // that a lane has come
    uint32_t first = 0;                   // number of `open`'s first
    std::deque<WarpAccess> open;
  };
  static void Count(const Series& series, const WarpAccess& access);

  std::unordered_map<uint64_t, Series> series_;
};

// The running thread's; these do nothing unless count_traffic is on.
void LogGlobal(const void* address, size_t bytes, bool write,
               const Origin& origin);
void LogShared(const void* address, size_t bytes, const Origin& origin);
void FlushLog(Cta& cta);

}  // namespace simt::emu
