#include "worker/group_layout.h"

namespace quatrain {

std::vector<int> GroupLayout::RanksOf(int stage) const {
  std::vector<int> ranks;
  for (int rank = 0; rank < num_ranks(); ++rank) {
    if (places[rank].stage == stage) ranks.push_back(rank);
  }
  return ranks;
}

int GroupLayout::PreviousOf(int rank) const {
  const Place& place = places[rank];
  if (place.stage == 0) return -1;
  const std::vector<int> before = RanksOf(place.stage - 1);
  return before[place.tp_rank % before.size()];
}

std::vector<int> GroupLayout::NextOf(int rank) const {
  std::vector<int> next;
  for (const int candidate : RanksOf(places[rank].stage + 1)) {
    if (PreviousOf(candidate) == rank) next.push_back(candidate);
  }
  return next;
}

bool GroupLayout::IsOrdered() const {
  if (places.empty()) return false;
  int stage = 0, tp_rank = 0;
  for (const Place& place : places) {
    if (place.stage == stage + 1 && tp_rank > 0) {
      ++stage;
      tp_rank = 0;
    }
    if (place.stage != stage || place.tp_rank != tp_rank) return false;
    ++tp_rank;
  }
  return true;
}

}  // namespace quatrain
