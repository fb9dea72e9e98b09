#include "worker/host_memory.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "worker/await_key.h"

namespace quatrain {
namespace {

// What a rank puts that shares with nobody.
constexpr char kNone[] = "none";

std::string AddressKey(const std::string& prefix, int rank) {
  return absl::StrCat(prefix, "/shared memory/", rank);
}

std::string OpenedKey(const std::string& prefix, int rank) {
  return absl::StrCat(prefix, "/shared memory opened/", rank);
}

std::set<int> ParseRanks(const std::string& text) {
  std::set<int> ranks;
  const std::vector<std::string> parts =
      absl::StrSplit(text, ' ', absl::SkipEmpty());
  for (const std::string& part : parts) {
    int rank;
    if (absl::SimpleAtoi(part, &rank)) ranks.insert(rank);
  }
  return ranks;
}

}  // namespace

const SharedMemory* HostMemory::Make(size_t bytes) {
  if (peers_.empty()) return nullptr;
  auto made = SharedMemory::Create(bytes);
  if (!made.ok()) {
    spdlog::info("{}; data goes through sockets",
                 std::string(made.status().message()));
    return nullptr;
  }
  return (memory_[rank_] = *std::move(made)).get();
}

absl::Status HostMemory::Publish(KeyValueStore* store,
                                 const std::string& prefix) {
  if (peers_.empty()) return absl::OkStatus();
  const auto mine = memory_.find(rank_);
  return store->Put(AddressKey(prefix, rank_),
                    mine == memory_.end() ? kNone : mine->second->address());
}

absl::Status HostMemory::OpenPeers(
    KeyValueStore* store, const std::string& prefix, const GroupFault& fault,
    std::chrono::steady_clock::time_point deadline) {
  std::set<int>& opened = opened_[rank_];
  for (const int peer : peers_) {
    const auto address =
        AwaitKey(store, AddressKey(prefix, peer), fault, deadline);
    if (!address.ok())
      return absl::Status(
          address.status().code(),
          absl::StrCat("no answer of rank ", peer, ": ",
                       std::string(address.status().message())));
    if (*address == kNone || !memory_.contains(rank_)) continue;
    auto memory = SharedMemory::Open(*address);
    if (!memory.ok()) {  // of another host or container: as expected
      spdlog::debug("rank {}: rank {}: {}", rank_, peer,
                    std::string(memory.status().message()));
      continue;
    }
    memory_[peer] = *std::move(memory);
    opened.insert(peer);
  }
  return store->Put(OpenedKey(prefix, rank_), absl::StrJoin(opened, " "));
}

absl::Status HostMemory::Agree(KeyValueStore* store, const std::string& prefix,
                               const GroupFault& fault,
                               std::chrono::steady_clock::time_point deadline) {
  if (peers_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(OpenPeers(store, prefix, fault, deadline));
  for (const int peer : peers_) {
    ASSIGN_OR_RETURN(const std::string opened,
                     AwaitKey(store, OpenedKey(prefix, peer), fault, deadline));
    opened_[peer] = ParseRanks(opened);
  }
  return absl::OkStatus();
}

bool HostMemory::ShareAll(std::span<const int> ranks) const {
  for (const int a : ranks) {
    const auto opened = opened_.find(a);
    if (opened == opened_.end()) return false;
    for (const int b : ranks) {
      if (a != b && !opened->second.contains(b)) return false;
    }
  }
  return true;
}

}  // namespace quatrain
