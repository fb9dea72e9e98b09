#pragma once

#include <memory>

#include "worker/group_fault.h"
#include "worker/message_path.h"
#include "worker/stage_link.h"

namespace quatrain {

// One end of a link between processes. Rows of the residual must be contiguous.
class ProcessStageLink final : public StageLink {
 public:
  ProcessStageLink(std::unique_ptr<MessageSender> to_next,
                   std::shared_ptr<GroupFault> fault);
  ProcessStageLink(std::unique_ptr<MessageReceiver> from_previous,
                   std::shared_ptr<GroupFault> fault);

  void Send(MatrixView residual) override;
  void Receive(MatrixView residual) override;
  absl::Status status() const override { return fault_->status(); }

 private:
  const std::shared_ptr<GroupFault> fault_;
  const std::unique_ptr<MessageSender> sender_;  // one of the two
  const std::unique_ptr<MessageReceiver> receiver_;
};

}  // namespace quatrain
