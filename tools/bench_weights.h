#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cpu/thread_pool.h"

namespace quatrain {

// Copies of one linear of random weights, together at least total_bytes: by
// default more than any cache holds.
inline constexpr int64_t kMoreThanCaches = int64_t{1} << 30;
struct WeightCopies {
  std::vector<std::unique_ptr<Linear>> linears;
  int64_t bytes_each = 0;
};

// int4 in groups of 128 with f16 scales, as a linear of role kQkv; or f16, as
// the head.
absl::StatusOr<WeightCopies> MakeInt4Copies(
    int inputs, int outputs, Backend& backend,
    int64_t total_bytes = kMoreThanCaches);
absl::StatusOr<WeightCopies> MakeF16Copies(
    int inputs, int outputs, Backend& backend,
    int64_t total_bytes = kMoreThanCaches);

// A plain read of the same memory, each thread what it packed. Of the CPU
// backend.
double ReadBytesPerSecond(const WeightCopies& copies, ThreadPool& pool,
                          double seconds);

}  // namespace quatrain
