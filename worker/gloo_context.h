#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "worker/group_fault.h"
#include "worker/rendezvous_store.h"

namespace gloo::transport {
class Buffer;
class Context;
class Device;
class UnboundBuffer;
}  // namespace gloo::transport

namespace quatrain {

// InvalidArgument unless a socket can be bound to `data_host`.
absl::Status CheckDataHost(const std::string& data_host);

// The network device that a rank's contexts share: one address, one thread that
// reads the sockets. InvalidArgument if `data_host` is not an address of this
// machine.
absl::StatusOr<std::shared_ptr<gloo::transport::Device>> OpenGlooDevice(
    const std::string& data_host);

class GlooBuffer;

// A rank's connections to some peers, for one purpose. Only Gloo's transport is
// used, with its bound buffers, which cost one write a message; of its
// collectives none. This file and its source are the only ones that call Gloo:
// what it throws becomes the rank's fault.
//
// Every rank makes its context, publishes and then connects.
class GlooContext {
 public:
  struct Options {
    std::string name;  // of the purpose, for messages: "tensor group"
    int rank = 0;      // in the whole group, as are the peers
    int num_ranks = 0;
    std::vector<int> peers;                     // ascending, without `rank`
    std::chrono::milliseconds timeout{10'000};  // of each wait
  };

  // Opens a listening socket for each peer.
  static absl::StatusOr<std::shared_ptr<GlooContext>> Create(
      std::shared_ptr<gloo::transport::Device> device, const Options& options,
      std::shared_ptr<GroupFault> fault);
  ~GlooContext();

  // Puts this rank's addresses under `prefix`.
  absl::Status Publish(KeyValueStore* store, const std::string& prefix);

  // Connects to all peers and exchanges a greeting with each, so that a
  // stranger on one of the ports is not taken for a peer.
  absl::Status Connect(KeyValueStore* store, const std::string& prefix,
                       std::chrono::steady_clock::time_point deadline);

  // Buffers for messages with `peer`, of any length up to that of `memory`. A
  // message goes from a send buffer to the peer's receive buffer of that slot,
  // which must exist by then or soon after. A pair has room for one of each
  // kind in a slot, and when one of them goes Gloo forgets both: they go
  // together, after Close() or with nothing under way. `memory` and the context
  // outlive them.
  std::unique_ptr<GlooBuffer> SendBuffer(int peer, int slot,
                                         std::span<std::byte> memory);
  std::unique_ptr<GlooBuffer> ReceiveBuffer(int peer, int slot,
                                            std::span<std::byte> memory);

  // Ends all connections; waits return. From any thread, also while Connect()
  // runs. Once it returns, Gloo no longer touches the memory of any buffer.
  void Close();

  const Options& options() const { return options_; }
  GroupFault& fault() { return *fault_; }
  const std::shared_ptr<GroupFault>& shared_fault() { return fault_; }

 private:
  GlooContext(const Options& options, std::shared_ptr<GroupFault> fault);

  absl::Status Greet(uint64_t greeting,
                     std::chrono::steady_clock::time_point deadline);
  // What went wrong with peers[peer].
  absl::Status FormationError(size_t peer,
                              std::chrono::steady_clock::time_point deadline,
                              const char* what) const;

  const Options options_;
  const std::shared_ptr<GroupFault> fault_;
  std::shared_ptr<gloo::transport::Context> context_;
  // Nothing is ever received in it: a wait on it that times out is Gloo's only
  // public way to end the waits on all others.
  std::unique_ptr<gloo::transport::UnboundBuffer> closer_;
  char unused_ = 0;    // memory of closer_
  Mutex close_mutex_;  // held while closing, which takes a while
  bool closed_ ABSL_GUARDED_BY(close_mutex_) = false;
  std::optional<FaultHook> hook_;  // closes; last, so that it goes first
};

// One slot of the connection with one peer. Not thread-safe. After a fault all
// calls return false at once.
class GlooBuffer {
 public:
  GlooBuffer(GlooContext* context, int peer,
             std::unique_ptr<gloo::transport::Buffer> buffer);
  ~GlooBuffer();

  // Sends memory[offset, offset + bytes) to the same or another offset of the
  // peer's memory. The memory must not change before WaitSend().
  bool Send(size_t offset, size_t bytes, size_t peer_offset);
  bool Send(size_t bytes) { return Send(0, bytes, 0); }
  bool WaitSend();
  // Waits for the next message; the receiver knows how long it is.
  bool WaitReceive();

 private:
  template <typename Call>
  bool Run(Call call);

  GlooContext* const context_;
  const int peer_;
  const std::unique_ptr<gloo::transport::Buffer> buffer_;
};

}  // namespace quatrain
