#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/server_builder.h"

namespace quatrain {

// Accepts TCP connections for a gRPC server, at most so many at a time: the
// distribution's gRPC never accepts again once its own listener has run out of
// descriptors. What is over the limit is closed at once. Threads: one of its
// own, between Start and Stop.
class ConnectionAcceptor {
 public:
  struct Options {
    std::string host = "127.0.0.1";  // a name or an address
    int port = 0;                    // 0: any that is free
    int max_connections = 1024;
    // Without it an address that is not of the loopback is refused: the
    // connections are in clear.
    bool insecure = false;
  };

  // Binds and listens; connections wait until Start. InvalidArgument for a host
  // that is unknown or not of the loopback, Unavailable if it cannot be bound.
  static absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> Listen(
      const Options& options);

  ~ConnectionAcceptor();
  ConnectionAcceptor(const ConnectionAcceptor&) = delete;
  ConnectionAcceptor& operator=(const ConnectionAcceptor&) = delete;

  int port() const { return port_; }

  // Hands connections to `acceptor`, which must outlive Stop.
  void Start(grpc::experimental::ExternalConnectionAcceptor* acceptor);

  // Closes the listener; connections that were accepted go on.
  void Stop();

 private:
  // A descriptor is gRPC's once it was handed over. It is still the same
  // connection while it is the same inode.
  struct Connection {
    int fd;
    ino_t inode;
  };

  ConnectionAcceptor(const Options& options, int listener, int port);

  void Run(grpc::experimental::ExternalConnectionAcceptor* acceptor);
  void Accept(grpc::experimental::ExternalConnectionAcceptor* acceptor);
  bool HasRoom();

  const int max_connections_;
  const int port_;
  int listener_;
  int wake_[2] = {-1, -1};  // a pipe: its closed end ends Run
  std::vector<Connection> connections_;
  std::thread thread_;
};

// True for an address or name that only this machine can reach. InvalidArgument
// if it cannot be resolved.
absl::StatusOr<bool> IsLoopback(const std::string& host);

}  // namespace quatrain
