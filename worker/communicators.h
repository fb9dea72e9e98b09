#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/tensor_group.h"
#include "worker/group_fault.h"
#include "worker/group_layout.h"
#include "worker/id_channel.h"
#include "worker/process_hub.h"
#include "worker/rendezvous_store.h"
#include "worker/stage_link.h"

namespace quatrain {

struct CommunicatorOptions {
  std::string data_host = "127.0.0.1";  // local address that data goes through
  std::chrono::milliseconds form_timeout{10'000};
  std::chrono::milliseconds step_timeout{10'000};  // longest wait in the group
  // Longest wait for another stage, which computes for as long as its layers
  // and the step's tokens take. The coordinator's watchdog knows better.
  std::chrono::milliseconds stage_timeout{3'600'000};
  int hidden_size = 0;
  int max_tokens = 0;    // rows of one residual
  int max_num_seqs = 0;  // rows of one step's samples
  // Ranks of one host spin some microseconds before they block. Off where the
  // host runs more ranks than it has cores.
  bool spin = true;
  // Memory between processes of one host, where the system lets them.
  bool share_memory = true;
};

// All that one rank talks to its peers through. A fault of one part is a fault
// of all: the others stop waiting as well.
struct Communicators {
  // Borrowed by the parts below. Shared, because whoever aborts may do so while
  // the rank drops its communicators.
  std::shared_ptr<GroupFault> fault;

  std::unique_ptr<TensorGroup> tensor_group;
  std::unique_ptr<StageLink> from_previous;         // null on the first stage
  std::vector<std::unique_ptr<StageLink>> to_next;  // none on the last stage
  std::unique_ptr<IdChannel> ids;  // null but on the first rank of a stage
  int64_t buffer_bytes = 0;        // as CommunicatorBytes() says

  // From any thread: every blocked and every later call returns at once, with
  // this status if it is the first fault.
  void Abort(absl::Status status) { fault->Raise(std::move(status)); }
  absl::Status status() const { return fault->status(); }
};

// What the buffers of FormCommunicators() will take, for the budget.
int64_t CommunicatorBytes(const GroupLayout& layout, int my_rank,
                          const CommunicatorOptions& options);

// Connects `my_rank` to its peers. Every rank calls it at about the same time,
// each on a thread of its own, with the same layout, prefix and sizes; the
// ranks of one process share `hub`. A group or link goes through the memory of
// one process where all its ranks live in it, else through memory that
// processes of one host share where all can open it, else through Gloo; a group
// of one needs none.
//
// Fails within form_timeout (plus a second) with a message that names the peer:
// DeadlineExceeded, or Unavailable where connecting went wrong. Gloo's
// formation breaks when a stranger connects meanwhile, so the caller tries
// again with a fresh prefix. `hub->Abort(prefix, status)` ends it early.
absl::StatusOr<Communicators> FormCommunicators(
    const GroupLayout& layout, int my_rank, ProcessHub* hub,
    KeyValueStore* store, const std::string& prefix,
    const CommunicatorOptions& options);

}  // namespace quatrain
