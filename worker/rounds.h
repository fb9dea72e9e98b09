#pragma once

#include <cstddef>
#include <span>

#include "absl/status/status.h"

namespace quatrain {

// One rank's part in rounds, in each of which every rank of a tensor group
// shows one message, possibly empty, to every other. All ranks make the same
// calls in the same order; one thread each.
class Rounds {
 public:
  // A piece of the outbox.
  struct Range {
    size_t offset = 0, bytes = 0;
  };

  virtual ~Rounds() = default;

  virtual int rank() const = 0;  // in the group
  virtual int size() const = 0;

  // What the next round shows is written here: size() times the piece that the
  // rounds were made for, which is the longest message.
  virtual std::byte* outbox() = 0;

  // Shows outbox range to[r] to rank r, for every other rank, and waits for the
  // message of each. False after a fault.
  virtual bool Exchange(std::span<const Range> to) = 0;

  // What rank r showed in the round just done; until the next Exchange().
  virtual const std::byte* Received(int r) const = 0;

  virtual absl::Status status() const = 0;
};

}  // namespace quatrain
