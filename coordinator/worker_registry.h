#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "base/steady_time.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/status.h"
#include "quatrain/internal/v1/group.pb.h"

namespace quatrain {

// The sending end of one stream of a worker. Thread-safe, never waits; sending
// after the stream ended does nothing.
template <typename Message>
class Link {
 public:
  virtual ~Link() = default;
  virtual void Send(Message message) = 0;
  virtual void Close(grpc::Status status) = 0;
};
using ControlLink = Link<internal::v1::CoordinatorMessage>;
using PlanLink = Link<grpc::ByteBuffer>;
using BeatLink = Link<internal::v1::Beat>;

// One process, as it called itself.
struct WorkerKey {
  std::string name;
  uint64_t incarnation = 0;
  auto operator<=>(const WorkerKey&) const = default;
};

// Something that the group has to hear about.
struct WorkerEvent {
  enum Kind { kAttached, kReply, kProgress, kLeaving, kLost };

  Kind kind = kAttached;
  WorkerKey worker;
  internal::v1::Reply reply;        // with kReply
  internal::v1::Progress progress;  // with kProgress
  std::string reason;               // with kLeaving, kLost
};

// A snapshot of an attached worker.
struct WorkerView {
  internal::v1::Hello hello;
  bool has_plan_stream = false;
  bool has_beat_stream = false;
  internal::v1::Beat last_beat;
  SteadyTime last_beat_time;  // of the attachment before the first beat
};

// The workers that are attached, ordered by name, and their streams. Decides
// who may attach. Streams report here, the group takes events out. Thread-safe.
class WorkerRegistry {
 public:
  struct Options {
    uint64_t epoch = 1;
    std::string build_id;
    uint32_t protocol_revision = 0;
    std::string model_digest;
    std::vector<std::string> workers;  // allowed names; empty = any
    int num_ranks = 1;                 // of the group
  };

  explicit WorkerRegistry(Options options);

  // A process introduced itself. Either it is attached from now on and Welcome
  // is its link's first message, or nothing changed and the answer says why.
  // The same process may come again: its new stream replaces the old one.
  std::optional<internal::v1::Refusal> Attach(const internal::v1::Hello& hello,
                                              std::shared_ptr<ControlLink> link,
                                              SteadyTime now);

  // FailedPrecondition unless that process is attached.
  absl::Status AddPlanStream(const WorkerKey& worker,
                             std::shared_ptr<PlanLink> link);
  absl::Status AddBeatStream(const WorkerKey& worker,
                             std::shared_ptr<BeatLink> link);

  // Whether messages of this stream count: it is the process's current one.
  bool IsCurrent(const WorkerKey& worker, const ControlLink* link);

  // The group is formed: which ranks the process hosts.
  void SetRanks(const WorkerKey& worker, std::vector<int> ranks);
  // InvalidArgument unless the process hosts the rank.
  absl::Status CheckHosts(const WorkerKey& worker, int rank);

  void OnBeat(const WorkerKey& worker, const internal::v1::Beat& beat,
              SteadyTime now);
  void Post(WorkerEvent event);

  // A stream ended. The process counts as lost unless `link` was replaced
  // before or the registry is closed.
  void OnStreamGone(const WorkerKey& worker, const void* link,
                    const std::string& reason);

  // From now on nobody attaches any more: who comes is told to try again.
  void CloseDoor(const std::string& reason);

  // Waits for an event, at most `timeout`.
  std::optional<WorkerEvent> NextEvent(absl::Duration timeout);

  std::vector<WorkerView> Workers() const;  // ordered by name

  void SendCommand(const WorkerKey& worker,
                   const internal::v1::Command& command);
  void SendPlan(const grpc::ByteBuffer& plan);
  void SendBeats();

  // Ends all streams, expected from now on.
  void CloseAll(const grpc::Status& status);

 private:
  struct Worker {
    WorkerView view;
    bool welcomed = false;   // has been told so; commands may follow
    std::vector<int> ranks;  // hosted by it, once the group is formed
    std::shared_ptr<ControlLink> control;  // shared with gRPC, which ends it
    std::shared_ptr<PlanLink> plans;       // when it likes
    std::shared_ptr<BeatLink> beats;
  };

  std::optional<internal::v1::Refusal> Refuse(const internal::v1::Hello& hello)
      const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<internal::v1::Refusal> RefuseForm(
      const internal::v1::Hello& hello) const;
  Worker* Find(const WorkerKey& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PostLocked(WorkerEvent event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int NumRanksLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Worker> workers_ ABSL_GUARDED_BY(mutex_);
  std::deque<WorkerEvent> events_ ABSL_GUARDED_BY(mutex_);
  std::string door_closed_ ABSL_GUARDED_BY(mutex_);  // why, empty = open
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quatrain
