#include "worker/memory_stage_link.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace quatrain {
namespace {

using Clock = std::chrono::steady_clock;

void CheckFits(MatrixView rows, size_t max_floats) {
  CHECK(rows.dtype == DType::kF32) << "the residual travels in f32";
  CHECK_LE(static_cast<size_t>(rows.rows) * rows.cols, max_floats);
}

}  // namespace

MemoryPipe::MemoryPipe(size_t max_floats) : max_floats_(max_floats) {
  for (Message& message : messages_) message.data.resize(max_floats);
}

bool MemoryPipe::Write(MatrixView rows, Deadline deadline) {
  CheckFits(rows, max_floats_);
  Message* message;
  {
    MutexLock lock(&mutex_);
    while (!closed_ && num_written_ - num_read_ == messages_.size()) {
      const auto left = deadline - Clock::now();
      if (left.count() <= 0) return false;
      changed_.WaitFor(&mutex_, left);
    }
    if (closed_) return false;
    message = &messages_[num_written_ % messages_.size()];
  }
  message->rows = rows.rows;
  for (int r = 0; r < rows.rows; ++r) {
    std::memcpy(&message->data[static_cast<size_t>(r) * rows.cols],
                rows.row<float>(r), rows.cols * sizeof(float));
  }
  MutexLock lock(&mutex_);
  ++num_written_;
  changed_.SignalAll();
  return true;
}

bool MemoryPipe::Read(MatrixView rows, Deadline deadline) {
  CheckFits(rows, max_floats_);
  const Message* message;
  {
    MutexLock lock(&mutex_);
    while (!closed_ && num_written_ == num_read_) {
      const auto left = deadline - Clock::now();
      if (left.count() <= 0) return false;
      changed_.WaitFor(&mutex_, left);
    }
    if (num_written_ == num_read_) return false;  // closed and empty
    message = &messages_[num_read_ % messages_.size()];
  }
  CHECK_EQ(message->rows, rows.rows) << "the two ends run different plans";
  for (int r = 0; r < rows.rows; ++r) {
    std::memcpy(rows.row<float>(r),
                &message->data[static_cast<size_t>(r) * rows.cols],
                rows.cols * sizeof(float));
  }
  MutexLock lock(&mutex_);
  ++num_read_;
  changed_.SignalAll();
  return true;
}

void MemoryPipe::Close() {
  MutexLock lock(&mutex_);
  closed_ = true;
  changed_.SignalAll();
}

bool MemoryPipe::closed() {
  MutexLock lock(&mutex_);
  return closed_;
}

MemoryStageLink::MemoryStageLink(std::shared_ptr<MemoryPipe> pipe,
                                 std::shared_ptr<GroupFault> fault,
                                 int peer_rank,
                                 std::chrono::milliseconds timeout)
    : pipe_(std::move(pipe)),
      fault_(std::move(fault)),
      peer_rank_(peer_rank),
      timeout_(timeout),
      hook_(fault_, [pipe = pipe_] { pipe->Close(); }) {}

MemoryStageLink::~MemoryStageLink() { pipe_->Close(); }

void MemoryStageLink::Send(MatrixView residual) {
  if (fault_->raised()) return;
  if (!pipe_->Write(residual, Clock::now() + timeout_)) {
    RaiseFault("did not take a residual");
  }
}

void MemoryStageLink::Receive(MatrixView residual) {
  if (fault_->raised()) return;
  if (!pipe_->Read(residual, Clock::now() + timeout_)) {
    RaiseFault("sent no residual");
  }
}

void MemoryStageLink::RaiseFault(const char* what) {
  if (pipe_->closed()) {
    fault_->Raise(absl::UnavailableError(absl::StrCat(
                      "stage link: rank ", peer_rank_, " has left it")),
                  peer_rank_);
  } else {
    fault_->Raise(absl::DeadlineExceededError(
                      absl::StrCat("stage link: rank ", peer_rank_, " ", what,
                                   " within ", timeout_.count(), " ms")),
                  peer_rank_);
  }
}

}  // namespace quatrain
