#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"
#include "grpcpp/support/status.h"

namespace quatrain {

// The worker's end of one bidirectional stream. Sending queues and never waits;
// what arrives goes to `on_message`, and the end of the stream, once, to
// `on_end`, both on gRPC's threads: they take a lock, move data and return.
// gRPC allows one write and one read in flight; this class owns that rule.
template <typename Request, typename Response>
class ClientStream final : public grpc::ClientBidiReactor<Request, Response> {
 public:
  using OnMessage = std::function<void(Response)>;
  using OnEnd = std::function<void(const grpc::Status&)>;
  // Starts the call for this reactor: stub.async()->Method(context, reactor).
  using Begin = std::function<void(
      grpc::ClientContext*, grpc::ClientBidiReactor<Request, Response>*)>;

  ClientStream(std::unique_ptr<grpc::ClientContext> context, const Begin& begin,
               OnMessage on_message, OnEnd on_end)
      : context_(std::move(context)),
        on_message_(std::move(on_message)),
        on_end_(std::move(on_end)) {
    begin(context_.get(), this);
    this->AddHold();  // for reads; writers take their own
    this->StartRead(&incoming_);
    this->StartCall();
  }

  ~ClientStream() override { Close(); }

  // Cancels the call if it still runs, and waits for its end: no callback runs
  // any more. What is sent later is dropped.
  void Close() {
    context_->TryCancel();
    MutexLock lock(&mutex_);
    while (!done_) changed_.Wait(&mutex_);
  }

  // Drops the message if the stream has ended.
  void Send(Request message) {
    {
      MutexLock lock(&mutex_);
      if (ended_ || finishing_) return;
      outgoing_.push_back(std::move(message));
      if (writing_) return;
      TakeNextLocked();
      this->AddHold();
    }
    // Outside the lock: gRPC may run the reaction before this returns.
    this->StartWrite(&sending_);
    this->RemoveHold();
  }

  // Whether all that was sent has left, within `timeout`.
  bool Flush(std::chrono::nanoseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(&mutex_);
    while (!ended_ && (writing_ || !outgoing_.empty())) {
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left.count() <= 0) return false;
      changed_.WaitFor(&mutex_, left);
    }
    return !ended_;
  }

  // Says that nothing more comes and waits for the peer to end the stream: it
  // has read everything then, while a cancelled one may lose what is on its
  // way. Close() comes next. At most `timeout`, and at once where the stream
  // has ended.
  void Finish(std::chrono::nanoseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    if (!Flush(timeout)) return;
    {
      MutexLock lock(&mutex_);
      if (ended_ || writing_ || finishing_) return;
      finishing_ = true;
      this->AddHold();
    }
    this->StartWritesDone();
    this->RemoveHold();
    MutexLock lock(&mutex_);
    while (!done_ && std::chrono::steady_clock::now() < deadline)
      changed_.WaitFor(&mutex_, deadline - std::chrono::steady_clock::now());
  }

  // "ipv4:127.0.0.1:50052", once something was received.
  std::string peer() const { return context_->peer(); }

 private:
  void OnReadDone(bool ok) override {
    if (ok) {
      on_message_(std::move(incoming_));
      incoming_ = Response();
      this->StartRead(&incoming_);
      return;
    }
    {
      MutexLock lock(&mutex_);
      ended_ = true;
      changed_.SignalAll();
    }
    this->RemoveHold();
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(&mutex_);
      writing_ = false;
      changed_.SignalAll();
      if (!ok || ended_ || outgoing_.empty()) return;
      TakeNextLocked();
    }
    this->StartWrite(&sending_);
  }

  void OnDone(const grpc::Status& status) override {
    on_end_(status);
    MutexLock lock(&mutex_);
    done_ = ended_ = true;
    changed_.SignalAll();
  }

  void TakeNextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    sending_ = std::move(outgoing_.front());
    outgoing_.pop_front();
    writing_ = true;
  }

  const std::unique_ptr<grpc::ClientContext> context_;
  const OnMessage on_message_;
  const OnEnd on_end_;
  Response incoming_;  // gRPC's while a read is in flight
  Request sending_;    // gRPC's while writing_ is true

  Mutex mutex_;
  CondVar changed_;
  std::deque<Request> outgoing_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;  // nothing more is queued
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;      // nothing more is sent
  bool done_ ABSL_GUARDED_BY(mutex_) = false;       // gRPC is finished with us
};

}  // namespace quatrain
