#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/group_fault.h"
#include "worker/rendezvous_store.h"
#include "worker/shared_memory.h"

namespace quatrain {

// Finds out which of a rank's peers in other processes can share memory with
// it, and holds that memory. Two ranks share if each has opened what the other
// made, which is so in processes of one host and one container; both ends come
// to the same answer.
class HostMemory {
 public:
  // Ranks of the whole group; `peers` without `rank`.
  HostMemory(int rank, std::vector<int> peers)
      : rank_(rank), peers_(std::move(peers)) {}

  // Makes this rank's own memory; null where the system gives none, or where
  // there is no peer. Who has none shares with nobody.
  const SharedMemory* Make(size_t bytes);

  // Leaves its address under `prefix`, once it is ready for others to use.
  absl::Status Publish(KeyValueStore* store, const std::string& prefix);

  // Opens the peers' memory and hears which of them did the same. Every rank
  // publishes before any agrees.
  absl::Status Agree(KeyValueStore* store, const std::string& prefix,
                     const GroupFault& fault,
                     std::chrono::steady_clock::time_point deadline);

  // Whether memory is shared with this peer, and by each two of these ranks,
  // all of which are peers of this one or itself.
  bool Shares(int peer) const { return ShareAll(std::vector{rank_, peer}); }
  bool ShareAll(std::span<const int> ranks) const;

  // The memory that `rank` made, which this rank has made or opened. Shared by
  // the parts that use pieces of it.
  const std::shared_ptr<SharedMemory>& of(int rank) const {
    return memory_.at(rank);
  }

 private:
  absl::Status OpenPeers(KeyValueStore* store, const std::string& prefix,
                         const GroupFault& fault,
                         std::chrono::steady_clock::time_point deadline);

  const int rank_;
  const std::vector<int> peers_;
  std::map<int, std::shared_ptr<SharedMemory>> memory_;  // own, and opened
  std::map<int, std::set<int>> opened_;                  // by each rank
};

}  // namespace quatrain
