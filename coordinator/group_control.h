#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/steady_time.h"
#include "coordinator/group_members.h"
#include "coordinator/step_loop.h"
#include "coordinator/worker_registry.h"

namespace quatrain {

// The members' control streams: commands, their replies, and what the members
// report by themselves. Used by the group's thread.
class GroupControl {
 public:
  using Build = std::function<void(const GroupMember&, internal::v1::Command*)>;

  // All must outlive it. `stopped`: a Stop was asked for, which ends every
  // command. The loop is told how far a load is.
  GroupControl(uint64_t epoch, WorkerRegistry* registry, GroupMembers* members,
               StepLoop* loop, std::function<bool()> stopped);

  // Sends a command to every member and waits for all replies, by member. The
  // first error reply, loss or timeout ends the wait; with `patient` an error
  // reply does so only when all have answered.
  absl::StatusOr<std::vector<internal::v1::Reply>> Command(
      const char* name, absl::Duration timeout, const Build& build,
      bool patient = false);

  // The same at the end: whoever is still there has answered or gone, or had
  // its time.
  void Tell(absl::Duration timeout, const Build& build);

  // Takes one event or lets a moment pass. Not OK if a member was lost or
  // leaves.
  absl::StatusOr<std::optional<WorkerEvent>> Poll();

  // Members leave because of a stop that came to all.
  bool workers_leave() const { return workers_leave_; }

 private:
  void Send(absl::Duration timeout, const Build& build);
  bool IsReply(const WorkerEvent& event) const;
  absl::Status ErrorOf(const char* name, const WorkerEvent& reply) const;
  std::string WhoHasNotReplied() const;
  bool AllToldOrGone() const;
  bool StopFollows() const;
  void LogProgress(const WorkerEvent& event);

  const uint64_t epoch_;
  WorkerRegistry& registry_;
  GroupMembers& members_;
  StepLoop& loop_;
  const std::function<bool()> stopped_;

  uint64_t last_command_id_ = 0;
  std::map<WorkerKey, internal::v1::Reply> replies_;  // to the last command
  bool workers_leave_ = false;
  SteadyTime last_progress_;                             // logged
  std::map<uint32_t, internal::v1::Progress> progress_;  // by rank
};

}  // namespace quatrain
