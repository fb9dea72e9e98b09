#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "worker/rounds.h"
#include "worker/shared_wait.h"

namespace quatrain {

// Rounds between processes of one host: a rank shows its message where it
// wrote it, in its own piece of shared memory.
class SharedRounds final : public Rounds {
 public:
  // A piece of memory of AreaBytes(), all zero at first, owned by one rank.
  struct Area {
    std::shared_ptr<SharedMemory> memory;
    size_t offset = 0;  // a multiple of 64
  };

  // areas[r] was made by rank r of the group, which is rank first_rank + r of
  // all; Prepare() has been called for each by its owner.
  SharedRounds(SharedWait wait, int rank, int first_rank, size_t piece,
               const std::vector<Area>& areas);
  ~SharedRounds() override;

  static int64_t AreaBytes(int size, size_t piece);
  // For the owner, before anybody else maps it.
  static void Prepare(const Area& area);

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(seats_.size()); }
  std::byte* outbox() override { return Outbox(rank_, num_rounds_ % 2); }
  bool Exchange(std::span<const Range> to) override;
  const std::byte* Received(int r) const override { return received_[r]; }
  absl::Status status() const override { return wait_.fault->status(); }

 private:
  struct Header {
    SharedCounter arrivals;
    std::atomic<uint32_t> left{0};
  };
  struct Seat {
    SharedPeer peer;
    Header* header;
    std::byte* memory;  // after the header: offsets and outboxes
  };

  // In rank r's memory: uint64_t[2, size], where in its outbox the message to
  // each rank begins; then the outboxes, [2, size, piece].
  uint64_t* Offsets(int r, int parity) const;
  std::byte* Outbox(int r, int parity) const;
  static std::vector<Seat> SeatsOf(int first_rank, size_t piece,
                                   const std::vector<Area>& areas);
  bool Receive(int r, int parity);
  void Leave();

  const SharedWait wait_;
  const int rank_;
  const size_t piece_;
  const std::vector<Seat> seats_;  // by rank in the group
  // Two outboxes in turn: round k + 2 may overwrite what round k showed,
  // because who has come to round k + 1 has read it.
  uint64_t num_rounds_ = 0;
  std::vector<const std::byte*> received_;
  const FaultHook hook_;  // leaves
};

}  // namespace quatrain
