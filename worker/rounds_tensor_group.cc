#include "worker/rounds_tensor_group.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/cache_line.h"
#include "base/check.h"

namespace quatrain {
namespace {

// Longer messages gain nothing; a decode step of a large batch fits one.
constexpr int64_t kMaxPiece = 1024 * 1024;
constexpr int64_t kMinPiece = 4096;
// Up to here one round with everything beats two rounds with slices; with two
// ranks both send the same number of bytes, so always.
constexpr size_t kWholeBytes = 64 * 1024;

template <typename T>
void AddTo(std::span<T> sum, const std::byte* part) {
  using Unsigned = std::make_unsigned_t<T>;  // wraps around, by definition
  const auto* values = reinterpret_cast<const Unsigned*>(part);
  auto* out = reinterpret_cast<Unsigned*>(sum.data());
  for (size_t i = 0; i < sum.size(); ++i) out[i] += values[i];
}

}  // namespace

size_t RoundsTensorGroup::PieceBytes(int64_t max_message) {
  return std::clamp(WholeLines(max_message), kMinPiece, kMaxPiece);
}

RoundsTensorGroup::RoundsTensorGroup(std::unique_ptr<Rounds> rounds,
                                     size_t piece)
    : rounds_(std::move(rounds)), piece_(piece) {}

void RoundsTensorGroup::AllReduceSum(std::span<int64_t> inout) {
  AllReduce(inout);
}

void RoundsTensorGroup::AllReduceSum(std::span<int32_t> inout) {
  AllReduce(inout);
}

template <typename T>
void RoundsTensorGroup::AllReduce(std::span<T> inout) {
  const bool whole = size() == 2 || inout.size_bytes() <= kWholeBytes;
  const size_t step = (whole ? piece_ : piece_ * size()) / sizeof(T);
  for (size_t i = 0; i < inout.size() && ok_; i += step) {
    const auto part = inout.subspan(i, std::min(step, inout.size() - i));
    ok_ = whole ? ReduceWhole(part) : ReduceSliced(part);
  }
}

bool RoundsTensorGroup::ShowAll(size_t bytes) {
  to_.assign(size(), {0, bytes});
  return rounds_->Exchange(to_);
}

template <typename T>
bool RoundsTensorGroup::ReduceWhole(std::span<T> part) {
  std::memcpy(rounds_->outbox(), part.data(), part.size_bytes());
  if (!ShowAll(part.size_bytes())) return false;
  for (int r = 0; r < size(); ++r) {
    if (r != rank()) AddTo(part, rounds_->Received(r));
  }
  return true;
}

template <typename T>
bool RoundsTensorGroup::ReduceSliced(std::span<T> part) {
  const size_t step = (part.size() + size() - 1) / size();
  const auto slice = [&](int r) {
    const size_t begin = std::min(part.size(), step * r);
    return part.subspan(begin, std::min(step, part.size() - begin));
  };
  to_.clear();
  for (int r = 0; r < size(); ++r) {
    const size_t begin = slice(r).data() - part.data();
    to_.push_back({begin * sizeof(T), slice(r).size_bytes()});
  }
  std::memcpy(rounds_->outbox(), part.data(), part.size_bytes());
  if (!rounds_->Exchange(to_)) return false;
  const std::span<T> mine = slice(rank());
  for (int r = 0; r < size(); ++r) {
    if (r != rank()) AddTo(mine, rounds_->Received(r));
  }
  std::memcpy(rounds_->outbox(), mine.data(), mine.size_bytes());
  if (!ShowAll(mine.size_bytes())) return false;
  for (int r = 0; r < size(); ++r) {
    if (r == rank() || slice(r).empty()) continue;
    std::memcpy(slice(r).data(), rounds_->Received(r), slice(r).size_bytes());
  }
  return true;
}

void RoundsTensorGroup::AllGather(std::span<const std::byte> mine,
                                  std::span<const size_t> sizes,
                                  std::span<std::byte> all) {
  CHECK_EQ(sizes.size(), static_cast<size_t>(size()));
  CHECK_EQ(mine.size(), sizes[rank()]);
  const size_t longest = *std::max_element(sizes.begin(), sizes.end());
  const auto part = [&](int r, size_t done) {
    return done < sizes[r] ? std::min(piece_, sizes[r] - done) : 0;
  };
  for (size_t done = 0; done < longest && ok_; done += piece_) {
    const size_t bytes = part(rank(), done);
    if (bytes > 0) std::memcpy(rounds_->outbox(), mine.data() + done, bytes);
    ok_ = ShowAll(bytes);
    size_t begin = 0;  // of rank r's part
    for (int r = 0; r < size() && ok_; begin += sizes[r++]) {
      const size_t count = part(r, done);
      CHECK_LE(begin + sizes[r], all.size());
      if (count == 0) continue;
      const std::byte* from =
          r == rank() ? mine.data() + done : rounds_->Received(r);
      std::memcpy(all.data() + begin + done, from, count);
    }
  }
}

}  // namespace quatrain
