#pragma once

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "worker/group_fault.h"
#include "worker/id_channel.h"
#include "worker/message_path.h"

namespace quatrain {

// Samples on their way to one first rank. Within a process it is shared with
// the sampling rank, which puts them in directly.
using SamplesQueue = BoundedQueue<Samples>;

// Takes samples from a queue to a first rank in another process, on a thread of
// its own.
class IdSender {
 public:
  IdSender(std::unique_ptr<MessageSender> end, int max_num_seqs,
           std::shared_ptr<GroupFault> fault);
  ~IdSender();

  SamplesQueue& queue() { return queue_; }

 private:
  void Run();

  const std::unique_ptr<MessageSender> end_;
  const int max_num_seqs_;
  std::vector<std::byte> message_;
  SamplesQueue queue_;
  const FaultHook hook_;  // closes the queue
  std::jthread thread_;
};

// Puts samples from another process into a queue, on a thread of its own.
class IdReceiver {
 public:
  IdReceiver(std::unique_ptr<MessageReceiver> end, int max_num_seqs,
             std::shared_ptr<SamplesQueue> queue,
             std::shared_ptr<GroupFault> fault);
  ~IdReceiver();

 private:
  void Run();

  const std::shared_ptr<GroupFault> fault_;
  const std::unique_ptr<MessageReceiver> end_;
  const int max_num_seqs_;
  std::vector<std::byte> message_;
  // Shared with the channel that reads it.
  const std::shared_ptr<SamplesQueue> queue_;
  std::jthread thread_;
};

// Bytes of the one size that messages between processes have.
size_t IdMessageBytes(int max_num_seqs);

// The channel of the first rank of a stage, put together from what its peers
// need: memory inside a process, messages between processes.
class RankIdChannel final : public IdChannel {
 public:
  struct Parts {
    int sampling_rank = 0;  // for messages
    size_t max_num_seqs = 0;
    std::chrono::milliseconds timeout{10'000};
    std::shared_ptr<SamplesQueue> inbox;
    std::unique_ptr<IdReceiver> receiver;  // null: filled within the process
    // On the sampling rank: first ranks of this process, its own among them,
    // and of others.
    std::vector<std::shared_ptr<SamplesQueue>> local;
    std::vector<std::unique_ptr<IdSender>> remote;
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
