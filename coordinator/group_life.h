#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/group_control.h"
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

  WorkerGroup& group_;  // owns the thread that runs this
  const WorkerGroupOptions& options_;
  WorkerRegistry& registry_;
  StepLoop& loop_;

  GroupMembers members_;
  GroupControl control_;
  int num_blocks_ = 0;
};

}  // namespace quatrain
