#include "worker/gloo_tensor_group.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace quatrain {
namespace {

// Longer messages gain nothing; a decode step of a large batch fits one.
constexpr int64_t kMaxPiece = 1024 * 1024;
constexpr int64_t kMinPiece = 4096;
// Up to here one round with everything beats two rounds with slices; with two
// ranks both send the same number of bytes, so always.
constexpr size_t kWholeBytes = 64 * 1024;

int64_t PieceBytes(int64_t max_message) {
  return std::clamp((max_message + 63) / 64 * 64, kMinPiece, kMaxPiece);
}

template <typename T>
void AddTo(std::span<T> sum, const std::byte* part) {
  using Unsigned = std::make_unsigned_t<T>;  // wraps around, by definition
  const auto* values = reinterpret_cast<const Unsigned*>(part);
  auto* out = reinterpret_cast<Unsigned*>(sum.data());
  for (size_t i = 0; i < sum.size(); ++i) out[i] += values[i];
}

}  // namespace

int64_t GlooTensorGroup::BufferBytes(int size, int64_t max_message) {
  return 3 * size * PieceBytes(max_message);
}

GlooTensorGroup::GlooTensorGroup(std::shared_ptr<GlooContext> context,
                                 int first_rank, int size, int64_t max_message)
    : context_(std::move(context)),
      first_rank_(first_rank),
      size_(size),
      rank_(context_->options().rank - first_rank),
      piece_(PieceBytes(max_message)),
      outbox_(size * piece_),
      inbox_(2 * size * piece_),
      peers_(size) {
  for (int r = 0; r < size_; ++r) {
    if (r == rank_) continue;
    // The slot is the parity of the round.
    for (int parity = 0; parity < 2; ++parity) {
      peers_[r].receive[parity] = context_->ReceiveBuffer(
          first_rank_ + r, parity, {Inbox(parity, r), piece_});
      peers_[r].send[parity] =
          context_->SendBuffer(first_rank_ + r, parity, outbox_);
    }
  }
}

GlooTensorGroup::~GlooTensorGroup() { context_->Close(); }

template <typename To>
bool GlooTensorGroup::Round(To to) {
  const int parity = num_rounds_++ % 2;
  bool ok = true;
  // Everybody starts with another peer, so that not all write to rank 0 first.
  for (int k = 1; k < size_ && ok; ++k) {
    const int r = (rank_ + k) % size_;
    const Range range = to(r);
    ok = peers_[r].send[parity]->Send(range.offset, range.bytes, 0);
  }
  for (int k = 1; k < size_ && ok; ++k) {
    Peer& peer = peers_[(rank_ + k) % size_];
    ok = peer.receive[parity]->WaitReceive();
  }
  for (int k = 1; k < size_ && ok; ++k) {
    ok = peers_[(rank_ + k) % size_].send[parity]->WaitSend();
  }
  return ok;
}

void GlooTensorGroup::AllReduceSum(std::span<int64_t> inout) {
  AllReduce(inout);
}

void GlooTensorGroup::AllReduceSum(std::span<int32_t> inout) {
  AllReduce(inout);
}

template <typename T>
void GlooTensorGroup::AllReduce(std::span<T> inout) {
  const bool whole = size_ == 2 || inout.size_bytes() <= kWholeBytes;
  const size_t step = (whole ? piece_ : piece_ * size_) / sizeof(T);
  bool ok = true;
  for (size_t i = 0; i < inout.size() && ok; i += step) {
    const auto part = inout.subspan(i, std::min(step, inout.size() - i));
    ok = whole ? ReduceWhole(part) : ReduceSliced(part);
  }
}

template <typename T>
bool GlooTensorGroup::ReduceWhole(std::span<T> part) {
  std::memcpy(outbox_.data(), part.data(), part.size_bytes());
  if (!Round([&](int) { return Range{0, part.size_bytes()}; })) return false;
  for (int r = 0; r < size_; ++r) {
    if (r != rank_) AddTo(part, Received(r));
  }
  return true;
}

template <typename T>
bool GlooTensorGroup::ReduceSliced(std::span<T> part) {
  const size_t step = (part.size() + size_ - 1) / size_;
  const auto slice = [&](int r) {
    const size_t begin = std::min(part.size(), step * r);
    return part.subspan(begin, std::min(step, part.size() - begin));
  };
  std::memcpy(outbox_.data(), part.data(), part.size_bytes());
  const auto range = [&](int r) {
    const size_t begin = slice(r).data() - part.data();
    return Range{begin * sizeof(T), slice(r).size_bytes()};
  };
  if (!Round(range)) return false;
  const std::span<T> mine = slice(rank_);
  for (int r = 0; r < size_; ++r) {
    if (r != rank_) AddTo(mine, Received(r));
  }
  std::memcpy(outbox_.data(), mine.data(), mine.size_bytes());
  if (!Round([&](int) { return Range{0, mine.size_bytes()}; })) return false;
  for (int r = 0; r < size_; ++r) {
    if (r == rank_ || slice(r).empty()) continue;
    std::memcpy(slice(r).data(), Received(r), slice(r).size_bytes());
  }
  return true;
}

void GlooTensorGroup::AllGather(std::span<const std::byte> mine,
                                std::span<const size_t> sizes,
                                std::span<std::byte> all) {
  CHECK_EQ(sizes.size(), static_cast<size_t>(size_));
  CHECK_EQ(mine.size(), sizes[rank_]);
  const size_t longest = *std::max_element(sizes.begin(), sizes.end());
  const auto part = [&](int r, size_t done) {
    return done < sizes[r] ? std::min(piece_, sizes[r] - done) : 0;
  };
  bool ok = true;
  for (size_t done = 0; done < longest && ok; done += piece_) {
    const size_t bytes = part(rank_, done);
    if (bytes > 0) std::memcpy(outbox_.data(), mine.data() + done, bytes);
    ok = Round([&](int) { return Range{0, bytes}; });
    size_t begin = 0;  // of rank r's part
    for (int r = 0; r < size_ && ok; begin += sizes[r++]) {
      const size_t count = part(r, done);
      const std::byte* from = r == rank_ ? outbox_.data() : Received(r);
      CHECK_LE(begin + sizes[r], all.size());
      if (count > 0) std::memcpy(all.data() + begin + done, from, count);
    }
  }
}

}  // namespace quatrain
