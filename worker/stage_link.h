#pragma once

#include "absl/status/status.h"
#include "base/matrix_view.h"

namespace quatrain {

// One end of the way that the residual takes from a rank to one rank of the
// next pipeline stage, whatever backends the two run on. An end either sends or
// receives; both sides make their calls in plan order (docs/steps.md).
//
// After a fault every call returns at once and leaves its output undefined; the
// engine reads status() once per step.
class StageLink {
 public:
  virtual ~StageLink() = default;

  // `residual` is [T, hidden_size], f32, with T from 1 to the maximum that the
  // communicators were formed with. Its memory is free for reuse on return.
  // Holds one message back and blocks, up to the step timeout, when the peer
  // has not taken the one before.
  virtual void Send(MatrixView residual) = 0;

  // Fills all of `residual`, as above; T is what the peer sends.
  virtual void Receive(MatrixView residual) = 0;

  // The first fault (the peer lost, a deadline passed, an abort), else OK.
  virtual absl::Status status() const = 0;
};

}  // namespace quatrain
