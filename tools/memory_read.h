#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/cpu/thread_pool.h"

namespace quatrain {

// Seconds on a clock that only goes forward.
double SteadySeconds();

// How long a call takes: in the best stretch of some megabytes, where a machine
// that others use is seen at its quietest, and on average.
struct CallSeconds {
  double best = 0, mean = 0;
};

// Calls body(i) for i in 0 .. count - 1 in turn, again and again, each of which
// touches `bytes_each` bytes, until `seconds` are over.
CallSeconds TimeCalls(size_t count, int64_t bytes_each, double seconds,
                      const std::function<void(size_t)>& body);
double BestSeconds(size_t count, int64_t bytes_each, double seconds,
                   const std::function<void(size_t)>& body);

// Some memory, cut into what each thread of a pool reads of it.
using ReadPiece = std::vector<std::span<const std::byte>>;

struct ReadSpeed {
  double best = 0, mean = 0;  // bytes per second, each of the best way to read
};

// How fast the threads read the pieces in turn, in several ways. All pieces
// together outgrow the caches.
ReadSpeed TimeRead(std::span<const ReadPiece> pieces, ThreadPool& pool,
                   double seconds);
double BestReadBytesPerSecond(std::span<const ReadPiece> pieces,
                              ThreadPool& pool, double seconds);

}  // namespace quatrain
