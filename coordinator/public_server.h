#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "coordinator/connection_acceptor.h"
#include "coordinator/generation_call.h"
#include "coordinator/health.h"
#include "coordinator/inference_service.h"
#include "coordinator/model_service.h"

namespace quatrain {

struct PublicServerOptions {
  // What clients are told of who served them, one among many groups behind one
  // address; empty: this host's name and the port.
  std::string group;
  std::string host = "127.0.0.1";
  int port = 50051;         // 0: any that is free
  bool insecure = false;    // allows a host that is not of the loopback
  bool reflection = false;  // needs a host of the loopback
  int max_connections = 1024;
  int max_output_tokens = 0;  // caps max_tokens; 0: the context alone does
  size_t max_receive_bytes = 1 << 20;
  size_t max_send_bytes = 16 << 20;
  absl::Duration max_request_time = absl::Seconds(600);
  absl::Duration stream_stall_timeout = absl::Seconds(60);
  size_t max_pending_events = 16;  // per stream, then deltas are merged
};

// The server that clients see: InferenceService, ModelService, health, and
// reflection behind a flag. Threads: gRPC's, two for admission, one that
// accepts, one that looks at the clock and at the engine's state.
class PublicServer {
 public:
  // Listens and serves at once; health follows the engine's state. `engine` and
  // the tokenizer must outlive the server and every sequence it submitted.
  // InvalidArgument for options or checkpoint defaults that may not be,
  // Unavailable if the port cannot be had.
  static absl::StatusOr<std::unique_ptr<PublicServer>> Start(
      const PublicServerOptions& options, Engine* engine,
      const ServedModel& model);

  ~PublicServer();  // Stop(absl::ZeroDuration())

  int port() const { return acceptor_->port(); }

  // Health turns NOT_SERVING, new generations are refused with DRAINING, those
  // that live go on. Returns at once.
  void Drain();

  // Calls whose client or sequence is still there.
  size_t live_calls() { return calls_->size(); }

  // Drains, gives calls `grace` to end, cancels the rest, and returns when gRPC
  // is finished with all of them. The engine must still run. Idempotent.
  void Stop(absl::Duration grace);

 private:
  PublicServer(const PublicServerOptions& options, Engine* engine,
               const ServedModel& model, const EffectiveDefaults& defaults);

  absl::Status Serve(std::unique_ptr<ConnectionAcceptor> acceptor);
  void Watch();

  const PublicServerOptions options_;
  Engine* const engine_;
  const ServedModel model_;
  const RequestParser parser_;
  const std::shared_ptr<LiveCalls> calls_;
  InferenceService inference_;
  ModelService models_;
  std::unique_ptr<ConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> hand_over_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Health> health_;

  Mutex mutex_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watcher_;
};

}  // namespace quatrain
