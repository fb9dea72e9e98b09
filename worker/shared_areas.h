#pragma once

#include <cstddef>
#include <memory>

#include "worker/host_memory.h"
#include "worker/seat.h"
#include "worker/shared_message_path.h"
#include "worker/shared_rounds.h"

namespace quatrain {

// Of one message of each kind, in bytes.
struct MessageSizes {
  size_t piece = 0;  // of a round of the tensor group
  size_t residual = 0;
  size_t ids = 0;
};

// What lies where in the memory that a rank shares with other processes. Every
// rank knows it of every other.
class SharedAreas {
 public:
  SharedAreas(const Seat& seat, const MessageSizes& sizes);

  // Of the whole, never 0: a rank that only sends takes part too.
  size_t bytes() const { return bytes_; }

  // Writes the headers, before any peer sees the memory.
  void Prepare(const std::shared_ptr<SharedMemory>& mine) const;

  // Parts of `memory`, which the rank of this seat made: its outboxes, and what
  // it receives in.
  SharedRounds::Area Rounds(std::shared_ptr<SharedMemory> memory) const {
    return {std::move(memory), kRounds};
  }
  SharedMessageArea Residual(std::shared_ptr<SharedMemory> memory) const {
    return {std::move(memory), residual_, sizes_.residual};
  }
  SharedMessageArea Ids(std::shared_ptr<SharedMemory> memory) const {
    return {std::move(memory), ids_, sizes_.ids};
  }

 private:
  static constexpr size_t kRounds = 64;

  const MessageSizes sizes_;
  const bool spans_processes_, hears_residual_, hears_ids_;
  const size_t residual_, ids_, bytes_;
};

}  // namespace quatrain
