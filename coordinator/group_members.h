#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/steady_time.h"
#include "coordinator/group_plan.h"
#include "coordinator/worker_registry.h"

namespace quatrain {

WorkerKey KeyOf(const WorkerView& worker);

// The workers of a formed group and what the registry knows of each: who is
// still there, who is silent, who is behind. Used by the group's thread.
class GroupMembers {
 public:
  // `registry` must outlive it. worker_timeout: silence that counts as a loss.
  GroupMembers(const WorkerRegistry* registry, absl::Duration worker_timeout);

  void Set(std::vector<GroupMember> members) { members_ = std::move(members); }
  // Whoever is attached, in a group that was never complete.
  void SetAttached();
  const std::vector<GroupMember>& all() const { return members_; }

  // nullptr if nobody is.
  const GroupMember* Find(const WorkerKey& key) const;
  const GroupMember* FindRank(int rank) const;
  // The one whose last completed step is the oldest.
  const GroupMember& Slowest() const;
  bool IsAttached(const GroupMember& member) const;
  bool AllAttached() const;

  // Unavailable, naming a member that has been silent for too long.
  absl::Status CheckBeats();

 private:
  std::optional<WorkerView> ViewOf(const GroupMember& member) const;
  uint64_t LastStepOf(const GroupMember& member) const;

  const WorkerRegistry* const registry_;
  const absl::Duration worker_timeout_;
  std::vector<GroupMember> members_;
  SteadyTime last_check_;  // of beats
  // Silence counts from here.
  SteadyTime not_before_ = SteadyTime::InfinitePast();
};

// "lost rank 2 (worker "w1" on host7): its connection closed", Unavailable,
// with the reason WORKER_LOST and rank, worker and host as its metadata.
absl::Status LostStatus(const GroupMember& member, const std::string& why);

}  // namespace quatrain
