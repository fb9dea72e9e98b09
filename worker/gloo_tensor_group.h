#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/tensor_group.h"
#include "worker/gloo_context.h"

namespace quatrain {

// One rank of a group that spans processes. All calls are made of rounds, in
// which every rank sends one message, possibly empty, to every other.
//
// Gloo's own all-reduce takes several dependent steps, each with a handshake;
// one round with fixed buffers was 2 to 20 times faster for messages of a
// decode step (docs/steps.md). Only integers are summed, so order is free.
class GlooTensorGroup final : public TensorGroup {
 public:
  // `context` connects the ranks first_rank .. first_rank + size - 1, of which
  // this is one; nobody else uses it. `max_message` is the largest all-reduce
  // in bytes; longer ones work, in pieces.
  GlooTensorGroup(std::shared_ptr<GlooContext> context, int first_rank,
                  int size, int64_t max_message);
  ~GlooTensorGroup() override;

  // Of the buffers that the constructor allocates.
  static int64_t BufferBytes(int size, int64_t max_message);

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void AllReduceSum(std::span<int64_t> inout) override;
  void AllReduceSum(std::span<int32_t> inout) override;
  void AllGather(std::span<const std::byte> mine, std::span<const size_t> sizes,
                 std::span<std::byte> all) override;
  absl::Status status() const override { return context_->fault().status(); }

 private:
  struct Peer {
    std::unique_ptr<GlooBuffer> send[2];     // all of outbox_, by parity
    std::unique_ptr<GlooBuffer> receive[2];  // a piece of inbox_ each
  };
  struct Range {
    size_t offset = 0, bytes = 0;
  };

  // Sends outbox_[to(r)] to every other rank r and waits for one message from
  // each. False after a fault.
  template <typename To>
  bool Round(To to);
  // What rank r sent in the round just done.
  std::byte* Received(int r) { return Inbox((num_rounds_ - 1) % 2, r); }
  std::byte* Inbox(int parity, int r) {
    return inbox_.data() + (parity * size_ + r) * piece_;
  }

  template <typename T>
  void AllReduce(std::span<T> inout);
  // Everything to everybody, then everybody sums all of it.
  template <typename T>
  bool ReduceWhole(std::span<T> part);
  // Slice r to rank r, which sums it and sends the sum to everybody.
  template <typename T>
  bool ReduceSliced(std::span<T> part);

  const std::shared_ptr<GlooContext> context_;
  const int first_rank_, size_, rank_;
  const size_t piece_;  // bytes of one message at most

  std::vector<std::byte> outbox_;  // [size, piece]
  // Two sets in turn. Round k + 2 may overwrite what round k received: by then
  // a peer has this rank's message of round k + 1, sent after round k was read.
  std::vector<std::byte> inbox_;  // [2, size, piece]
  uint64_t num_rounds_ = 0;
  std::vector<Peer> peers_;  // by rank in the group, own one empty
};

}  // namespace quatrain
