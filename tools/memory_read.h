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

// Calls body(i) for i in 0 .. count - 1 in turn, again and again, each of which
// touches `bytes_each` bytes, until `seconds` are over. The seconds of a call
// in the best stretch of some megabytes: a machine that others use is seen at
// its quietest.
double BestSeconds(size_t count, int64_t bytes_each, double seconds,
                   const std::function<void(size_t)>& body);

// Some memory, cut into what each thread of a pool reads of it.
using ReadPiece = std::vector<std::span<const std::byte>>;

// Bytes per second at which the threads read the pieces in turn: the best of
// several ways of reading. All pieces together outgrow the caches.
double BestReadBytesPerSecond(std::span<const ReadPiece> pieces,
                              ThreadPool& pool, double seconds);

}  // namespace quatrain
