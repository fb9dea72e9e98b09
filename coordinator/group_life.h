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
#include "coordinator/group_members.h"
#include "coordinator/group_plan.h"
#include "coordinator/worker_group.h"

namespace quatrain {

// One epoch of a group from the first Hello to the last Shutdown, as one
// function after the other; WorkerGroup runs it on a thread of its own.
class GroupLife {
 public:
  explicit GroupLife(WorkerGroup* group);

  // Returns how the epoch ended, with all streams closed.
  absl::Status Run();

 private:
  using Build = std::function<void(const GroupMember&, internal::v1::Command*)>;

  absl::Status Form();
  absl::Status WaitForWorkers();
  void LogPlan(const std::vector<RankBudget>& budgets) const;
  bool IsComplete(const std::vector<WorkerView>& workers) const;
  std::string WhoIsMissing(const std::vector<WorkerView>& workers) const;
  absl::Status PlanShards();
  internal::v1::EngineConfig ConfigFor(const GroupMember& member) const;
  absl::Status LoadShards();
  absl::Status Connect();
  absl::Status ConnectOnce(int attempt);
  absl::Status StartLoop();

  absl::Status Supervise();
  absl::Status Judge(const StepFailure& failure);
  absl::Status Blame(const StepFailure& failure) const;
  void End(const absl::Status& status);

  // Sends a command to every member and waits for all replies, by member. The
  // first error reply, loss or timeout ends the wait; with `patient` an error
  // reply does so only when all have answered.
  absl::StatusOr<std::vector<internal::v1::Reply>> Command(
      const char* name, absl::Duration timeout, const Build& build,
      bool patient = false);
  void Send(absl::Duration timeout, const Build& build);
  bool IsReply(const WorkerEvent& event) const;
  std::string WhoHasNotReplied() const;
  // The same at the end: whoever is still there has answered or gone, or had
  // its time.
  void Tell(absl::Duration timeout, const Build& build);
  bool AllToldOrGone() const;

  // Takes one event or lets a moment pass. Not OK if a member was lost or
  // leaves.
  absl::StatusOr<std::optional<WorkerEvent>> Poll();
  bool StopFollows() const;
  void LogProgress(const WorkerEvent& event);

  WorkerGroup& group_;  // owns the thread that runs this
  const WorkerGroupOptions& options_;
  WorkerRegistry& registry_;
  StepLoop& loop_;

  GroupMembers members_;
  int num_blocks_ = 0;
  bool workers_leave_ = false;  // because of a stop that came to all
  uint64_t last_command_id_ = 0;
  std::map<WorkerKey, internal::v1::Reply> replies_;     // to the last command
  absl::Time last_progress_;                             // logged
  std::map<uint32_t, internal::v1::Progress> progress_;  // by rank
};

}  // namespace quatrain
