#include "worker/gloo_context.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <functional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "gloo/transport/buffer.h"
#include "gloo/transport/context.h"
#include "gloo/transport/tcp/device.h"
#include "gloo/transport/unbound_buffer.h"
#include "worker/await_key.h"

namespace quatrain {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kGreetingSlot = 1 << 20;  // apart from all others

milliseconds Left(Clock::time_point deadline) {
  return std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(
                                       deadline - Clock::now()));
}

// Gloo writes to sockets without MSG_NOSIGNAL; a lost peer is an error here.
void IgnoreSigpipe() {
  static const auto before = std::signal(SIGPIPE, SIG_IGN);
  (void)before;
}

std::string AddressKey(const std::string& prefix, int from, int to) {
  return absl::StrCat(prefix, "/", from, "-", to);
}

// Closes a context that has not connected in time: Gloo's own limit is five
// times the timeout of a wait, for each peer.
class ConnectWatch {
 public:
  ConnectWatch(GlooContext* context, Clock::time_point deadline)
      : thread_([this, context, deadline] {
          MutexLock lock(&mutex_);
          while (!done_ && Clock::now() < deadline) {
            changed_.WaitFor(&mutex_, deadline - Clock::now());
          }
          if (!done_) context->Close();
        }) {}
  ~ConnectWatch() {
    MutexLock lock(&mutex_);
    done_ = true;
    changed_.SignalAll();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace

absl::Status CheckDataHost(const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found)) {
    return absl::InvalidArgumentError(
        absl::StrCat("data host ", host, ": ", gai_strerror(error)));
  }
  bool bound = false;
  for (const addrinfo* a = found; a != nullptr && !bound; a = a->ai_next) {
    const int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
    if (fd < 0) continue;
    bound = bind(fd, a->ai_addr, a->ai_addrlen) == 0;
    close(fd);
  }
  freeaddrinfo(found);
  if (bound) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("data host ", host, ": not an address of this machine"));
}

absl::StatusOr<std::shared_ptr<gloo::transport::Device>> OpenGlooDevice(
    const std::string& data_host) {
  IgnoreSigpipe();
  // Before Gloo, which does not notice a name without an address, and leaks
  // when it cannot bind.
  RETURN_IF_ERROR(CheckDataHost(data_host));
  try {
    return gloo::transport::tcp::CreateDevice(
        gloo::transport::tcp::attr(data_host.c_str()));
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(
        absl::StrCat("data host ", data_host,
                     ": not an address of this machine: ", e.what()));
  }
}

GlooContext::GlooContext(const Options& options,
                         std::shared_ptr<GroupFault> fault)
    : options_(options), fault_(std::move(fault)) {}

absl::StatusOr<std::shared_ptr<GlooContext>> GlooContext::Create(
    std::shared_ptr<gloo::transport::Device> device, const Options& options,
    std::shared_ptr<GroupFault> fault) {
  std::shared_ptr<GlooContext> made(new GlooContext(options, fault));
  try {
    made->context_ = device->createContext(options.rank, options.num_ranks);
    made->context_->setTimeout(options.timeout);
    for (const int peer : options.peers) made->context_->createPair(peer);
    made->closer_ = made->context_->createUnboundBuffer(&made->unused_, 1);
  } catch (const std::exception& e) {
    return absl::UnavailableError(
        absl::StrCat(options.name, ": cannot listen: ", e.what()));
  }
  made->hook_.emplace(std::move(fault), [c = made.get()] { c->Close(); });
  return made;
}

GlooContext::~GlooContext() {
  hook_.reset();
  Close();
}

void GlooContext::Close() {
  MutexLock lock(&close_mutex_);
  if (closed_ || closer_ == nullptr) return;
  closed_ = true;
  try {
    closer_->waitRecv(milliseconds(1));
  } catch (const std::exception&) {
    // As intended: all pairs are closed now, and what waits on them throws.
  }
}

absl::Status GlooContext::Publish(KeyValueStore* store,
                                  const std::string& prefix) {
  for (const int peer : options_.peers) {
    const std::vector<char> address =
        context_->getPair(peer)->address().bytes();
    RETURN_IF_ERROR(store->Put(AddressKey(prefix, options_.rank, peer),
                               std::string(address.begin(), address.end())));
  }
  return absl::OkStatus();
}

absl::Status GlooContext::Connect(KeyValueStore* store,
                                  const std::string& prefix,
                                  Clock::time_point deadline) {
  // All addresses first: once a peer has published, connecting is quick.
  std::vector<std::string> addresses;
  for (const int peer : options_.peers) {
    auto address = AwaitKey(store, AddressKey(prefix, peer, options_.rank),
                            *fault_, deadline);
    if (!address.ok()) {
      return absl::Status(
          address.status().code(),
          absl::StrCat(options_.name, ": no address of rank ", peer, ": ",
                       std::string(address.status().message())));
    }
    addresses.push_back(*std::move(address));
  }
  const ConnectWatch watch(this, deadline);
  for (size_t i = 0; i < addresses.size(); ++i) {
    try {
      context_->getPair(options_.peers[i])
          ->connect({addresses[i].begin(), addresses[i].end()});
    } catch (const std::exception& e) {
      return FormationError(i, deadline, e.what());
    }
  }
  return Greet(std::hash<std::string>()(prefix), deadline);
}

absl::Status GlooContext::Greet(uint64_t greeting, Clock::time_point deadline) {
  const size_t n = options_.peers.size();
  std::vector<uint64_t> heard(n);
  // Unbound buffers, whose waits take a timeout of their own.
  std::vector<std::unique_ptr<gloo::transport::UnboundBuffer>> ears, mouths;
  size_t i = 0;
  try {
    for (i = 0; i < n; ++i) {
      ears.push_back(context_->createUnboundBuffer(&heard[i], 8));
      mouths.push_back(context_->createUnboundBuffer(&greeting, 8));
      ears[i]->recv(options_.peers[i], kGreetingSlot);
      mouths[i]->send(options_.peers[i], kGreetingSlot);
    }
    for (i = 0; i < n; ++i) {
      mouths[i]->waitSend(Left(deadline));
      ears[i]->waitRecv(Left(deadline));
      if (heard[i] != greeting) throw std::runtime_error("a stranger answered");
    }
  } catch (const std::exception& e) {
    Close();
    return FormationError(i, deadline, e.what());
  }
  return absl::OkStatus();
}

absl::Status GlooContext::FormationError(size_t peer,
                                         Clock::time_point deadline,
                                         const char* what) const {
  if (fault_->raised()) return fault_->status();
  return absl::Status(Clock::now() < deadline
                          ? absl::StatusCode::kUnavailable
                          : absl::StatusCode::kDeadlineExceeded,
                      absl::StrCat(options_.name, ": rank ", options_.rank,
                                   " cannot connect to rank ",
                                   options_.peers[peer], ": ", what));
}

std::unique_ptr<GlooBuffer> GlooContext::SendBuffer(
    int peer, int slot, std::span<std::byte> memory) {
  return std::make_unique<GlooBuffer>(this, peer,
                                      context_->getPair(peer)->createSendBuffer(
                                          slot, memory.data(), memory.size()));
}

std::unique_ptr<GlooBuffer> GlooContext::ReceiveBuffer(
    int peer, int slot, std::span<std::byte> memory) {
  return std::make_unique<GlooBuffer>(this, peer,
                                      context_->getPair(peer)->createRecvBuffer(
                                          slot, memory.data(), memory.size()));
}

GlooBuffer::GlooBuffer(GlooContext* context, int peer,
                       std::unique_ptr<gloo::transport::Buffer> buffer)
    : context_(context), peer_(peer), buffer_(std::move(buffer)) {}

GlooBuffer::~GlooBuffer() = default;

template <typename Call>
bool GlooBuffer::Run(Call call) {
  if (context_->fault().raised()) return false;
  const std::string& name = context_->options().name;
  const milliseconds timeout = context_->options().timeout;
  const Clock::time_point start = Clock::now();
  try {
    call();
    return true;
  } catch (const std::exception& e) {
    // Gloo has one exception for both; only a timeout lasts as long as one.
    if (Clock::now() - start >= timeout) {
      context_->fault().Raise(
          absl::DeadlineExceededError(absl::StrCat(name, ": rank ", peer_,
                                                   " did not answer within ",
                                                   timeout.count(), " ms")),
          peer_);
    } else {
      context_->fault().Raise(
          absl::UnavailableError(
              absl::StrCat(name, ": rank ", peer_, " is lost: ", e.what())),
          peer_);
    }
    return false;
  }
}

bool GlooBuffer::Send(size_t offset, size_t bytes, size_t peer_offset) {
  return Run([&] { buffer_->send(offset, bytes, peer_offset); });
}

bool GlooBuffer::WaitSend() {
  return Run([&] { buffer_->waitSend(); });
}

bool GlooBuffer::WaitReceive() {
  return Run([&] { buffer_->waitRecv(); });
}

}  // namespace quatrain
