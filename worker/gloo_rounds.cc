#include "worker/gloo_rounds.h"

#include <utility>

namespace quatrain {

GlooRounds::GlooRounds(std::shared_ptr<GlooContext> context, int first_rank,
                       int size, size_t piece)
    : context_(std::move(context)),
      size_(size),
      rank_(context_->options().rank - first_rank),
      piece_(piece),
      outbox_(size * piece_),
      inbox_(2 * size * piece_),
      peers_(size) {
  for (int r = 0; r < size_; ++r) {
    if (r == rank_) continue;
    // The slot is the parity of the round.
    for (int parity = 0; parity < 2; ++parity) {
      peers_[r].receive[parity] = context_->ReceiveBuffer(
          first_rank + r, parity,
          {inbox_.data() + InboxOffset(parity, r), piece_});
      peers_[r].send[parity] =
          context_->SendBuffer(first_rank + r, parity, outbox_);
    }
  }
}

GlooRounds::~GlooRounds() { context_->Close(); }

bool GlooRounds::Exchange(std::span<const Range> to) {
  const int parity = num_rounds_++ % 2;
  bool ok = true;
  // Everybody starts with another peer, so that not all write to rank 0 first.
  for (int k = 1; k < size_ && ok; ++k) {
    const int r = (rank_ + k) % size_;
    ok = peers_[r].send[parity]->Send(to[r].offset, to[r].bytes, 0);
  }
  for (int k = 1; k < size_ && ok; ++k) {
    ok = peers_[(rank_ + k) % size_].receive[parity]->WaitReceive();
  }
  for (int k = 1; k < size_ && ok; ++k) {
    ok = peers_[(rank_ + k) % size_].send[parity]->WaitSend();
  }
  return ok;
}

}  // namespace quatrain
