#include "worker/shared_areas.h"

namespace quatrain {

SharedAreas::SharedAreas(const Seat& seat, const MessageSizes& sizes)
    : sizes_(sizes),
      spans_processes_(!seat.StageIsLocal()),
      hears_residual_(seat.HearsResidual()),
      hears_ids_(seat.HearsIds()),
      residual_(kRounds + (spans_processes_ ? SharedRounds::AreaBytes(
                                                  seat.tp_size(), sizes.piece)
                                            : 0)),
      ids_(residual_ +
           (hears_residual_ ? SharedMessageArea::Bytes(sizes.residual) : 0)),
      bytes_(ids_ + (hears_ids_ ? SharedMessageArea::Bytes(sizes.ids) : 0)) {}

void SharedAreas::Prepare(const std::shared_ptr<SharedMemory>& mine) const {
  if (spans_processes_) SharedRounds::Prepare(Rounds(mine));
  if (hears_residual_) Residual(mine).Prepare();
  if (hears_ids_) Ids(mine).Prepare();
}

}  // namespace quatrain
