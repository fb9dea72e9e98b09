#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/byte_buffer.h"
#include "quatrain/internal/v1/group.pb.h"
#include "worker/client_stream.h"
#include "worker/control_store.h"

namespace quatrain {

// The worker's three streams to the coordinator, each on a connection of its
// own, so that no control message delays a plan. Thread-safe. Callbacks run on
// gRPC's threads and must not wait.
class CoordinatorClient {
 public:
  struct Callbacks {
    // The first answer: Welcome or Refusal; then commands. A server that takes
    // no workers counts as one that refuses.
    std::function<void(const internal::v1::CoordinatorMessage&)> on_control;
    std::function<void(std::string plan_bytes)> on_plan;
    // Any of the streams ended; possibly several times.
    std::function<void(const absl::Status&)> on_lost;
  };

  // Dials `address` once and sends `hello`. The answer comes to on_control, or
  // its absence to on_lost.
  CoordinatorClient(const std::string& address,
                    const internal::v1::Hello& hello, Callbacks callbacks);
  ~CoordinatorClient();

  // Ends all streams and waits until no callback runs any more. What is sent
  // later is dropped.
  void Close();

  // After Welcome, and before results and beats are sent: their streams.
  void OpenPlansAndBeats();

  void SendReply(internal::v1::Reply reply);
  void SendProgress(const internal::v1::Progress& progress);
  void SendLeaving(const std::string& reason);
  void SendResult(const internal::v1::StepResult& result);
  void SendBeat(const internal::v1::Beat& beat);
  // Gives what was sent on the control stream time to leave.
  void Flush(std::chrono::nanoseconds timeout);

  ControlStore& store() { return store_; }
  // Since the last beat from the coordinator, or since the streams were opened.
  std::chrono::nanoseconds SinceLastBeat() const;

  // The local address of the connection to the coordinator: "10.0.0.7".
  // Unavailable if it cannot be found.
  absl::StatusOr<std::string> LocalHost() const;

 private:
  using ControlStream = ClientStream<internal::v1::WorkerMessage,
                                     internal::v1::CoordinatorMessage>;
  using PlanStream = ClientStream<grpc::ByteBuffer, grpc::ByteBuffer>;
  using BeatStream = ClientStream<internal::v1::Beat, internal::v1::Beat>;

  std::unique_ptr<grpc::ClientContext> IdentifiedContext() const;
  void OnControl(const internal::v1::CoordinatorMessage& message);
  void OnEnd(const char* stream, const grpc::Status& status);
  void RefuseForWrongPort();
  void OpenPlans();
  void OpenBeats();

  const std::string address_;
  const internal::v1::Hello hello_;
  const Callbacks callbacks_;
  ControlStore store_;
  std::atomic<int64_t> last_beat_ns_{0};

  const std::shared_ptr<grpc::Channel> control_channel_, plan_channel_,
      beat_channel_;  // gRPC's own kind of ownership

  std::unique_ptr<ControlStream> control_;
  std::unique_ptr<PlanStream> plans_;
  std::unique_ptr<BeatStream> beats_;
};

}  // namespace quatrain
