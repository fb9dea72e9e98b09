#pragma once

#include <vector>

#include "worker/group_layout.h"

namespace quatrain {

// Whom a rank talks to for which purpose, as the layout alone says.
struct Seat {
  Seat(const GroupLayout& layout, int rank);

  bool IsLocal(int other) const {
    return layout.places[other].process == place.process;
  }
  bool StageIsLocal() const;
  bool is_first() const { return place.tp_rank == 0; }
  bool is_sampling() const { return rank == layout.sampling_rank(); }
  int tp_size() const { return static_cast<int>(stage_ranks.size()); }

  // Whom it talks to otherwise than within its process, ascending. Of a stage
  // that spans processes, all ranks go the same way.
  std::vector<int> TensorPeers() const;
  std::vector<int> LinkPeers() const;
  std::vector<int> IdPeers() const;
  std::vector<int> AllPeers() const;

  bool HearsResidual() const { return previous >= 0 && !IsLocal(previous); }
  bool HearsIds() const { return !is_sampling() && !IdPeers().empty(); }

  const GroupLayout& layout;
  const int rank;
  const GroupLayout::Place place;
  const std::vector<int> stage_ranks;
  const int previous;            // whose residual it takes, -1: none
  const std::vector<int> next;   // who take its residual
  std::vector<int> first_ranks;  // of all stages
};

}  // namespace quatrain
