#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace quatrain {

// What one plan drew, in the order of its drawn rows.
struct Samples {
  uint64_t step_id = 0;
  std::vector<int32_t> token_ids;  // row after row
  // How many of token_ids each row has: 1, or 0 where nothing was drawn.
  std::vector<uint8_t> counts;
};

// Carries sampled ids from the sampling rank (tensor rank 0 of the last stage)
// to the first rank of every stage, its own included, in plan order. It has its
// own connections and threads, so that publishing never blocks a step.
class IdChannel {
 public:
  virtual ~IdChannel() = default;

  // On the sampling rank only. At most max_num_seqs ids and rows. Faults if
  // receivers are kMaxSamplesInFlight behind.
  virtual void Publish(const Samples& samples) = 0;

  // The next samples. Waits up to the step timeout; not OK after a fault, which
  // stays. One caller at a time.
  virtual absl::Status Receive(Samples* next) = 0;

  // The first fault, else OK.
  virtual absl::Status status() const = 0;
};

// A first rank that reads samples only when it needs them is behind by the
// plans that drew nothing it continues.
inline constexpr int kMaxSamplesInFlight = 1024;

}  // namespace quatrain
