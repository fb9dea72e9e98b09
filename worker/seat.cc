#include "worker/seat.h"

#include <algorithm>
#include <set>

namespace quatrain {

Seat::Seat(const GroupLayout& layout, int rank)
    : layout(layout),
      rank(rank),
      place(layout.places[rank]),
      stage_ranks(layout.RanksOf(place.stage)),
      previous(layout.PreviousOf(rank)),
      next(layout.NextOf(rank)) {
  for (int s = 0; s < layout.num_stages(); ++s) {
    first_ranks.push_back(layout.RanksOf(s).front());
  }
}

bool Seat::StageIsLocal() const {
  return std::all_of(stage_ranks.begin(), stage_ranks.end(),
                     [&](int r) { return IsLocal(r); });
}

std::vector<int> Seat::TensorPeers() const {
  std::vector<int> peers;
  if (StageIsLocal()) return peers;
  for (const int r : stage_ranks) {
    if (r != rank) peers.push_back(r);
  }
  return peers;
}

std::vector<int> Seat::LinkPeers() const {
  std::vector<int> peers;
  if (HearsResidual()) peers.push_back(previous);
  for (const int r : next) {
    if (!IsLocal(r)) peers.push_back(r);
  }
  return peers;
}

std::vector<int> Seat::IdPeers() const {
  std::vector<int> peers;
  if (is_sampling()) {
    for (const int r : first_ranks) {
      if (!IsLocal(r)) peers.push_back(r);
    }
  } else if (is_first() && !IsLocal(layout.sampling_rank())) {
    peers.push_back(layout.sampling_rank());
  }
  return peers;
}

std::vector<int> Seat::AllPeers() const {
  std::set<int> peers;
  for (const auto& some : {TensorPeers(), LinkPeers(), IdPeers()}) {
    peers.insert(some.begin(), some.end());
  }
  return {peers.begin(), peers.end()};
}

}  // namespace quatrain
