#pragma once

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "worker/gloo_stage_link.h"
#include "worker/group_fault.h"
#include "worker/id_channel.h"

namespace quatrain {

// Samples on their way to one first rank. Within a process it is shared with
// the sampling rank, which puts them in directly.
using SamplesQueue = BoundedQueue<Samples>;

// Takes samples from a queue to a first rank in another process, on a thread of
// its own.
class GlooIdSender {
 public:
  GlooIdSender(std::shared_ptr<GlooContext> context, int peer,
               int max_num_seqs);
  ~GlooIdSender();

  SamplesQueue& queue() { return queue_; }

 private:
  void Run();

  const std::shared_ptr<GlooContext> context_;
  GlooSendEnd end_;
  std::vector<std::byte> message_;
  SamplesQueue queue_;
  const FaultHook hook_;  // closes the queue
  std::jthread thread_;
};

// Puts samples from another process into a queue, on a thread of its own.
class GlooIdReceiver {
 public:
  GlooIdReceiver(std::shared_ptr<GlooContext> context, int peer,
                 int max_num_seqs, std::shared_ptr<SamplesQueue> queue);
  ~GlooIdReceiver();

 private:
  void Run();

  const std::shared_ptr<GlooContext> context_;
  GlooReceiveEnd end_;
  std::vector<std::byte> message_;
  // Shared with the channel that reads it.
  const std::shared_ptr<SamplesQueue> queue_;
  std::jthread thread_;
};

// Bytes of the one size that messages between processes have.
size_t IdMessageBytes(int max_num_seqs);

// The channel of the first rank of a stage, put together from what its peers
// need: memory inside a process, Gloo between processes.
class RankIdChannel final : public IdChannel {
 public:
  struct Parts {
    int sampling_rank = 0;  // for messages
    size_t max_num_seqs = 0;
    std::chrono::milliseconds timeout{10'000};
    std::shared_ptr<SamplesQueue> inbox;
    std::unique_ptr<GlooIdReceiver>
        receiver;  // null: filled within the process
    // On the sampling rank: first ranks of this process, its own among them,
    // and of others.
    std::vector<std::shared_ptr<SamplesQueue>> local;
    std::vector<std::unique_ptr<GlooIdSender>> remote;
  };

  RankIdChannel(Parts parts, std::shared_ptr<GroupFault> fault);
  ~RankIdChannel() override;

  void Publish(const Samples& samples) override;
  absl::Status Receive(Samples* next) override;
  absl::Status status() const override { return fault_->status(); }

 private:
  void CloseQueues();

  const std::shared_ptr<GroupFault> fault_;
  const Parts parts_;
  const FaultHook hook_;  // closes the queues
};

}  // namespace quatrain
