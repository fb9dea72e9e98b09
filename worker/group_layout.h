#pragma once

#include <vector>

namespace quatrain {

// Who sits where: all ranks of a group, in order of rank. Stages come in order,
// and the tensor ranks of a stage in order inside it.
struct GroupLayout {
  struct Place {
    int stage = 0;
    int tp_rank = 0;
    int process = 0;  // index of the process that hosts the rank
  };
  std::vector<Place> places;  // one per rank

  int num_ranks() const { return static_cast<int>(places.size()); }
  int num_stages() const {
    return places.empty() ? 0 : places.back().stage + 1;
  }

  // The ranks of a stage, by tensor rank.
  std::vector<int> RanksOf(int stage) const;

  // Tensor rank 0 of the last stage: it draws the tokens.
  int sampling_rank() const { return RanksOf(num_stages() - 1).front(); }

  // Where the residual of `rank` comes from: rank j of a stage receives from
  // rank j mod n of the stage before, which has n ranks. -1 on the first stage.
  int PreviousOf(int rank) const;

  // The ranks that `rank` sends its residual to, ascending; none on the last
  // stage, and possibly none elsewhere (a stage smaller than the one before).
  std::vector<int> NextOf(int rank) const;

  // False if ranks are not in the order said above.
  bool IsOrdered() const;
};

}  // namespace quatrain
