#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/tensor_group.h"
#include "worker/rounds.h"

namespace quatrain {

// One rank of a group that spans processes. All calls are made of rounds.
//
// Gloo's own all-reduce takes several dependent steps, each with a handshake;
// one round with fixed buffers was 2 to 20 times faster for messages of a
// decode step (docs/steps.md). Only integers are summed, so order is free.
class RoundsTensorGroup final : public TensorGroup {
 public:
  // Bytes of the longest message of a round, if the largest all-reduce has
  // `max_message` bytes; what is longer goes in pieces. In whole cache lines.
  static size_t PieceBytes(int64_t max_message);

  // `rounds` were made with `piece`.
  RoundsTensorGroup(std::unique_ptr<Rounds> rounds, size_t piece);

  int rank() const override { return rounds_->rank(); }
  int size() const override { return rounds_->size(); }
  void AllReduceSum(std::span<int64_t> inout) override;
  void AllReduceSum(std::span<int32_t> inout) override;
  void AllGather(std::span<const std::byte> mine, std::span<const size_t> sizes,
                 std::span<std::byte> all) override;
  absl::Status status() const override { return rounds_->status(); }

 private:
  template <typename T>
  void AllReduce(std::span<T> inout);
  // Everything to everybody, then everybody sums all of it.
  template <typename T>
  bool ReduceWhole(std::span<T> part);
  // Slice r to rank r, which sums it and sends the sum to everybody.
  template <typename T>
  bool ReduceSliced(std::span<T> part);
  // The first `bytes` of the outbox to every other rank.
  bool ShowAll(size_t bytes);

  const std::unique_ptr<Rounds> rounds_;
  const size_t piece_;
  std::vector<Rounds::Range> to_;  // of the round in the making
  // After a failed round the outbox is left alone: a peer may still read what
  // the round before showed.
  bool ok_ = true;
};

}  // namespace quatrain
