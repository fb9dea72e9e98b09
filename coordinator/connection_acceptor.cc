#include "coordinator/connection_acceptor.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::StatusOr<AddressList> Resolve(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("host ", host, ": ", gai_strerror(error)));
  }
  return AddressList(found, &freeaddrinfo);
}

bool IsLoopbackAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
  }
  if (address->sa_family != AF_INET6) return false;
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
  return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

bool AllLoopback(const addrinfo* address) {
  for (; address != nullptr; address = address->ai_next) {
    if (!IsLoopbackAddress(address->ai_addr)) return false;
  }
  return true;
}

absl::Status BindError(const ConnectionAcceptor::Options& options) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", options.host,
                                             ":", options.port, ": ",
                                             std::strerror(errno)));
}

int PortOf(int listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  CHECK_EQ(getsockname(listener, generic, &size), 0);
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

// -1 with errno. Without SO_REUSEPORT: two servers on one port are a mistake.
int ListenOn(const addrinfo& address) {
  const int fd =
      socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, address.ai_addr, address.ai_addrlen) == 0 &&
      listen(fd, SOMAXCONN) == 0)
    return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

ino_t InodeOf(int fd) {
  struct stat found {};
  return fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode) ? found.st_ino : 0;
}

}  // namespace

absl::StatusOr<bool> IsLoopback(const std::string& host) {
  ASSIGN_OR_RETURN(const AddressList addresses, Resolve(host, 0));
  return AllLoopback(addresses.get());
}

absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> ConnectionAcceptor::Listen(
    const Options& options) {
  ASSIGN_OR_RETURN(const AddressList addresses,
                   Resolve(options.host, options.port));
  if (!options.insecure && !AllLoopback(addresses.get())) {
    return absl::InvalidArgumentError(
        absl::StrCat("host ", options.host,
                     " is not of the loopback, and connections are "
                     "in clear: pass --insecure if that is meant"));
  }
  const int listener = ListenOn(*addresses);
  if (listener < 0) return BindError(options);
  return std::unique_ptr<ConnectionAcceptor>(
      new ConnectionAcceptor(options, listener, PortOf(listener)));
}

ConnectionAcceptor::ConnectionAcceptor(const Options& options, int listener,
                                       int port)
    : max_connections_(options.max_connections),
      port_(port),
      listener_(listener) {
  CHECK_EQ(pipe2(wake_, O_CLOEXEC), 0);
}

ConnectionAcceptor::~ConnectionAcceptor() {
  Stop();
  close(wake_[0]);
}

void ConnectionAcceptor::Start(
    grpc::experimental::ExternalConnectionAcceptor* acceptor) {
  thread_ = std::thread([this, acceptor] { Run(acceptor); });
}

void ConnectionAcceptor::Stop() {
  if (listener_ < 0) return;
  close(wake_[1]);
  if (thread_.joinable()) thread_.join();
  close(listener_);
  listener_ = -1;
}

void ConnectionAcceptor::Run(
    grpc::experimental::ExternalConnectionAcceptor* acceptor) {
  pollfd polled[] = {{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
  while (true) {
    if (poll(polled, 2, -1) < 0 && errno != EINTR) return;
    if (polled[1].revents != 0) return;
    if (polled[0].revents != 0) Accept(acceptor);
  }
}

void ConnectionAcceptor::Accept(
    grpc::experimental::ExternalConnectionAcceptor* acceptor) {
  const int fd =
      accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    // Out of descriptors: the connection stays in the backlog until some are
    // free again.
    if (errno == EMFILE || errno == ENFILE)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return;
  }
  if (!HasRoom()) {
    close(fd);
    return;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  connections_.push_back({fd, InodeOf(fd)});
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters
      parameters;
  parameters.listener_fd = listener_;
  parameters.fd = fd;
  acceptor->HandleNewConnection(&parameters);
}

bool ConnectionAcceptor::HasRoom() {
  if (connections_.size() < static_cast<size_t>(max_connections_)) return true;
  std::erase_if(connections_, [](const Connection& connection) {
    return InodeOf(connection.fd) != connection.inode;
  });
  return connections_.size() < static_cast<size_t>(max_connections_);
}

}  // namespace quatrain
