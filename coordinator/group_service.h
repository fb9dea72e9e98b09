#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/connection_acceptor.h"
#include "coordinator/rendezvous_store.h"
#include "coordinator/step_loop.h"
#include "coordinator/worker_registry.h"
#include "grpcpp/server.h"

namespace quatrain {

// The internal port: quatrain.internal.v1.GroupService, and nothing else. Its
// reactions move messages between streams and the objects below, which must
// outlive it. A server of its own, because a second port on one gRPC server
// would offer every service.
class GroupServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    int port = 0;           // 0 = any free one
    bool insecure = false;  // another than the local host may be bound in clear
  };

  // InvalidArgument for an address that is not the local host's without
  // `insecure`; Unavailable if the port cannot be bound.
  static absl::StatusOr<std::unique_ptr<GroupServer>> Start(
      const Options& options, WorkerRegistry* registry, RendezvousStore* store,
      StepLoop* loop);
  ~GroupServer();  // ends all streams

  int port() const { return acceptor_->port(); }

 private:
  GroupServer() = default;

  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<ConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> hand_over_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace quatrain
