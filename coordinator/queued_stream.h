#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "coordinator/worker_registry.h"
#include "grpcpp/support/server_callback.h"

namespace quatrain {

// The coordinator's end of one stream of a worker: writes what is sent in
// order, one message at a time as gRPC demands, and hands on what it reads.
// Made with std::make_shared; lives until gRPC is finished with it and nobody
// else holds it.
template <typename Request, typename Response>
class QueuedStream
    : public grpc::ServerBidiReactor<Request, Response>,
      public Link<Response>,
      public std::enable_shared_from_this<QueuedStream<Request, Response>> {
 public:
  // Called once, by whoever made the stream. Reads from now on.
  void Begin() {
    self_ = this->shared_from_this();
    this->StartRead(&incoming_);
  }

  // Ends a stream that never read.
  void Refuse(grpc::Status status) {
    self_ = this->shared_from_this();
    Close(std::move(status));
  }

  void Send(Response message) override {
    {
      MutexLock lock(&mutex_);
      if (end_) return;
      outgoing_.push_back(std::move(message));
      if (writing_) return;
      TakeNextLocked();
    }
    // Outside the lock: gRPC may run the reaction before this returns. The
    // stream cannot finish meanwhile, for writing_ is true.
    this->StartWrite(&sending_);
  }

  // Ends the stream once everything sent before is written. The first call
  // decides.
  void Close(grpc::Status status) override {
    {
      MutexLock lock(&mutex_);
      if (end_) return;
      end_ = status;
      if (writing_) return;  // OnWriteDone finishes
    }
    this->Finish(std::move(status));
  }

 protected:
  // A message came; on gRPC's thread, must not wait.
  virtual void OnMessage(const Request& message) = 0;
  // The other side is gone or has said its last; possibly called twice.
  virtual void OnGone() = 0;

 private:
  void OnReadDone(bool ok) final {
    if (ok) {
      OnMessage(incoming_);
      this->StartRead(&incoming_);
      return;
    }
    OnGone();
    Close(grpc::Status::OK);
  }

  void OnWriteDone(bool ok) final {
    grpc::Status end;
    bool more = false;
    {
      MutexLock lock(&mutex_);
      if (!ok) outgoing_.clear();
      more = !outgoing_.empty();
      writing_ = more;
      if (more) TakeNextLocked();
      if (!more && !end_) return;
      if (!more) end = *end_;
    }
    more ? this->StartWrite(&sending_) : this->Finish(std::move(end));
  }

  void OnCancel() final {
    OnGone();
    Close(grpc::Status::CANCELLED);
  }

  void OnDone() final { self_.reset(); }

  void TakeNextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    sending_ = std::move(outgoing_.front());
    outgoing_.pop_front();
    writing_ = true;
  }

  Request incoming_;  // gRPC's while a read is in flight
  Response sending_;  // gRPC's while writing_ is true

  Mutex mutex_;
  std::deque<Response> outgoing_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);  // set: no sending

  // gRPC's share, which it gives up with OnDone.
  std::shared_ptr<QueuedStream> self_;
};

}  // namespace quatrain
