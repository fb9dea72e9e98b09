#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "worker/group_fault.h"
#include "worker/stage_link.h"

namespace quatrain {

// What the two ends of a link inside one process share: two messages. Thread-
// safe; one thread writes and one reads.
class MemoryPipe {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  explicit MemoryPipe(size_t max_floats);

  // Copy one message in or out. Wait for room, or for a message; false if the
  // pipe is closed or the deadline passes before.
  bool Write(MatrixView rows, Deadline deadline);
  bool Read(MatrixView rows, Deadline deadline);

  void Close();
  bool closed();

 private:
  struct Message {
    int rows = 0;
    std::vector<float> data;
  };

  const size_t max_floats_;
  Mutex mutex_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t num_written_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t num_read_ ABSL_GUARDED_BY(mutex_) = 0;
  // Belongs to the writer while num_written_ - num_read_ < 2 says that it is
  // free, else to the reader.
  std::array<Message, 2> messages_;
};

// One end of a link whose ranks are threads of one process.
class MemoryStageLink final : public StageLink {
 public:
  // `pipe` belongs to both ends: neither knows who leaves last.
  MemoryStageLink(std::shared_ptr<MemoryPipe> pipe,
                  std::shared_ptr<GroupFault> fault, int peer_rank,
                  std::chrono::milliseconds timeout);
  ~MemoryStageLink() override;

  void Send(MatrixView residual) override;
  void Receive(MatrixView residual) override;
  absl::Status status() const override { return fault_->status(); }

 private:
  void RaiseFault(const char* what);

  const std::shared_ptr<MemoryPipe> pipe_;
  const std::shared_ptr<GroupFault> fault_;
  const int peer_rank_;
  const std::chrono::milliseconds timeout_;
  const FaultHook hook_;  // closes the pipe
};

}  // namespace quatrain
