#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace quatrain {

// This rank's seat in a tensor-parallel group. All ranks make the same calls in
// the same order. Implemented in worker/: shared memory or Gloo between
// processes, threads of one process, and a group of one.
//
// Only integers are summed, so the result has the same bits whatever algorithm
// a library uses. After a fault every call returns at once and leaves its
// output undefined; the engine reads status() once per step.
class TensorGroup {
 public:
  virtual ~TensorGroup() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Element by element over all ranks, modulo 2^64 and 2^32.
  virtual void AllReduceSum(std::span<int64_t> inout) = 0;
  virtual void AllReduceSum(std::span<int32_t> inout) = 0;

  // Concatenates the ranks' parts in rank order. sizes[r] is the number of
  // bytes of rank r, known to every rank and possibly 0; `mine` has
  // sizes[rank()] bytes and `all` their sum. `mine` does not overlap `all`.
  virtual void AllGather(std::span<const std::byte> mine,
                         std::span<const size_t> sizes,
                         std::span<std::byte> all) = 0;

  // The first fault (a peer lost, a deadline passed), else OK.
  virtual absl::Status status() const = 0;
};

}  // namespace quatrain
