#include "worker/process_stage_link.h"

#include <utility>

#include "base/check.h"

namespace quatrain {
namespace {

std::span<std::byte> BytesOf(MatrixView rows) {
  CHECK(rows.dtype == DType::kF32) << "the residual travels in f32";
  CHECK(rows.rows == 1 || rows.row_stride == rows.cols)
      << "rows of " << rows.cols << " every " << rows.row_stride;
  return {static_cast<std::byte*>(rows.data),
          static_cast<size_t>(rows.rows) * rows.cols * sizeof(float)};
}

}  // namespace

ProcessStageLink::ProcessStageLink(std::unique_ptr<MessageSender> to_next,
                                   std::shared_ptr<GroupFault> fault)
    : fault_(std::move(fault)), sender_(std::move(to_next)) {}

ProcessStageLink::ProcessStageLink(
    std::unique_ptr<MessageReceiver> from_previous,
    std::shared_ptr<GroupFault> fault)
    : fault_(std::move(fault)), receiver_(std::move(from_previous)) {}

void ProcessStageLink::Send(MatrixView residual) {
  CHECK(sender_ != nullptr) << "this end receives";
  sender_->Send(BytesOf(residual));
}

void ProcessStageLink::Receive(MatrixView residual) {
  CHECK(receiver_ != nullptr) << "this end sends";
  receiver_->Receive(BytesOf(residual));
}

}  // namespace quatrain
