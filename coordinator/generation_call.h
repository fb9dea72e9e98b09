#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "coordinator/engine.h"
#include "coordinator/live_calls.h"
#include "coordinator/response_builder.h"
#include "grpcpp/server_context.h"

namespace quatrain {

struct CallOptions {
  std::string group;  // whose name every answer carries
  absl::Duration max_request_time = absl::Seconds(600);
  absl::Duration stall_timeout = absl::Seconds(60);
  size_t max_message_bytes = 16 << 20;  // that gRPC will send
  size_t max_pending_events = 16;       // then deltas are merged
};

// What the two ways to answer a generation have in common: one RPC, from its
// first byte until gRPC and the step loop are both finished with it. The step
// loop pushes events and closes; gRPC reports what became of the client; a
// timer asks CheckTime(). Whoever is last drops the object.
//
// gRPC runs reactions on other threads or after the operation that caused them
// has returned, so operations may be started under the lock.
class GenerationCall : public EventSink, public LiveCall {
 public:
  // `engine` must outlive the server, `context` lives until OnDone.
  GenerationCall(grpc::CallbackServerContext* context, Engine* engine,
                 const CallOptions& options);
  ~GenerationCall() override;

  // Takes the id, which stands in every error from here on. It is claimed in
  // `calls` until the status leaves, or, where the client went first, until
  // this object goes. AlreadyExists if it is taken.
  absl::Status Claim(const std::string& request_id,
                     std::shared_ptr<LiveCalls> calls,
                     const std::shared_ptr<LiveCall>& self);
  // The id without a claim, for errors.
  void SetRequestId(const std::string& request_id);

  // The engine has the request: it is told if the client has gone meanwhile.
  void Submitted();

  bool closed();
  absl::Time received() const { return received_; }
  // After this the sequence is of no use: the client's or the server's limit.
  absl::Time deadline() const { return deadline_; }

  void Close(const absl::Status& status) final;
  void CheckTime(absl::Time now) final;

 protected:
  // Starts the next operation of gRPC if none is running.
  virtual void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  virtual void DropPending() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;

  // For reactions: the client has gone; gRPC is finished with the call.
  void ClientGone();
  void MarkDone();

  // The message is larger than gRPC will send: ends the call.
  void FailTooLarge(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // To be sent at once: the id is free for the next request.
  grpc::Status FinalStatus() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const CallOptions options_;
  Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;  // nothing more is pushed
  // An operation that needs the client waits since then.
  std::optional<absl::Time> waiting_since_ ABSL_GUARDED_BY(mutex_);

 private:
  void ReleaseId() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndWith(const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CheckLimit(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Engine* const engine_;
  const absl::Time received_;
  const absl::Time deadline_;
  std::shared_ptr<LiveCalls> calls_;  // set by Claim
  std::string request_id_ ABSL_GUARDED_BY(mutex_);
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool holds_id_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancel_sequence_ ABSL_GUARDED_BY(mutex_) = false;
  bool out_of_time_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quatrain
