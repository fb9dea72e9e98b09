#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "worker/gloo_context.h"
#include "worker/rounds.h"

namespace quatrain {

// Rounds over Gloo's connections: with fixed buffers, one write a message.
class GlooRounds final : public Rounds {
 public:
  // `context` connects the ranks first_rank .. first_rank + size - 1, of which
  // this is one; nobody else uses it. `piece` in bytes.
  GlooRounds(std::shared_ptr<GlooContext> context, int first_rank, int size,
             size_t piece);
  ~GlooRounds() override;

  // Of the buffers that the constructor allocates.
  static int64_t BufferBytes(int size, size_t piece) {
    return 3 * size * static_cast<int64_t>(piece);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::byte* outbox() override { return outbox_.data(); }
  bool Exchange(std::span<const Range> to) override;
  const std::byte* Received(int r) const override {
    return inbox_.data() + InboxOffset((num_rounds_ - 1) % 2, r);
  }
  absl::Status status() const override { return context_->fault().status(); }

 private:
  struct Peer {
    std::unique_ptr<GlooBuffer> send[2];     // all of outbox_, by parity
    std::unique_ptr<GlooBuffer> receive[2];  // a piece of inbox_ each
  };

  size_t InboxOffset(int parity, int r) const {
    return (parity * size_ + r) * piece_;
  }

  const std::shared_ptr<GlooContext> context_;
  const int size_, rank_;
  const size_t piece_;

  std::vector<std::byte> outbox_;  // [size, piece]
  // Two sets in turn. Round k + 2 may overwrite what round k received: by then
  // a peer has this rank's message of round k + 1, sent after round k was read.
  std::vector<std::byte> inbox_;  // [2, size, piece]
  uint64_t num_rounds_ = 0;
  std::vector<Peer> peers_;  // by rank in the group, own one empty
};

}  // namespace quatrain
