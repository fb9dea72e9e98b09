#include "worker/shared_rounds.h"

#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/cache_line.h"
#include "base/check.h"

namespace quatrain {
namespace {

size_t OffsetBytes(int size) { return WholeLines(2 * size * sizeof(uint64_t)); }

std::byte* Begin(const SharedRounds::Area& area) {
  return area.memory->bytes().data() + area.offset;
}

}  // namespace

int64_t SharedRounds::AreaBytes(int size, size_t piece) {
  return static_cast<int64_t>(WholeLines(sizeof(Header)) + OffsetBytes(size) +
                              2 * size * piece);
}

void SharedRounds::Prepare(const Area& area) { new (Begin(area)) Header; }

SharedRounds::SharedRounds(SharedWait wait, int rank, int first_rank,
                           size_t piece, const std::vector<Area>& areas)
    : wait_(std::move(wait)),
      rank_(rank),
      piece_(piece),
      seats_(SeatsOf(first_rank, piece, areas)),
      received_(areas.size()),
      hook_(wait_.fault, [this] { Leave(); }) {
  CHECK_EQ(WholeLines(piece), piece) << "not in whole cache lines";
}

std::vector<SharedRounds::Seat> SharedRounds::SeatsOf(
    int first_rank, size_t piece, const std::vector<Area>& areas) {
  const int size = static_cast<int>(areas.size());
  std::vector<Seat> seats;
  for (int r = 0; r < size; ++r) {
    const Area& area = areas[r];
    CHECK_LE(area.offset + AreaBytes(size, piece), area.memory->bytes().size());
    auto* header = std::launder(reinterpret_cast<Header*>(Begin(area)));
    seats.push_back({{first_rank + r, area.memory, &header->left},
                     header,
                     Begin(area) + WholeLines(sizeof(Header))});
  }
  return seats;
}

SharedRounds::~SharedRounds() { Leave(); }

void SharedRounds::Leave() {
  seats_[rank_].header->left.store(1);
  // Who waits for this rank, and this rank itself, whoever it waits for.
  for (const Seat& seat : seats_) seat.header->arrivals.Wake();
}

uint64_t* SharedRounds::Offsets(int r, int parity) const {
  return reinterpret_cast<uint64_t*>(seats_[r].memory) + parity * size();
}

std::byte* SharedRounds::Outbox(int r, int parity) const {
  return seats_[r].memory + OffsetBytes(size()) + parity * size() * piece_;
}

bool SharedRounds::Exchange(std::span<const Range> to) {
  const int parity = num_rounds_++ % 2;
  for (int r = 0; r < size(); ++r) Offsets(rank_, parity)[r] = to[r].offset;
  if (wait_.fault->raised()) return false;
  seats_[rank_].header->arrivals.Advance();
  bool ok = true;
  for (int k = 1; k < size() && ok; ++k) {
    ok = Receive((rank_ + k) % size(), parity);
  }
  return ok;
}

bool SharedRounds::Receive(int r, int parity) {
  const Seat& seat = seats_[r];
  if (!AwaitPeer(wait_, seat.peer, &seat.header->arrivals,
                 static_cast<uint32_t>(num_rounds_))) {
    return false;
  }
  const uint64_t offset = Offsets(r, parity)[rank_];
  if (offset > (size() - 1) * piece_) {  // the message may be a whole piece
    wait_.fault->Raise(absl::InternalError(absl::StrCat(
                           wait_.name, ": rank ", seat.peer.rank,
                           " shows a message at ", offset, " of its outbox")),
                       seat.peer.rank);
    return false;
  }
  received_[r] = Outbox(r, parity) + offset;
  return true;
}

}  // namespace quatrain
