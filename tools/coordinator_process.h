#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/public_server.h"
#include "coordinator/served_model.h"
#include "coordinator/step_loop.h"
#include "coordinator/worker_group.h"
#include "tools/command.h"
#include "tools/group_flags.h"
#include "tools/served_model.h"

namespace quatrain {

// Everything a coordinator consists of, wired together: model, step loop, group
// of workers, public server.
class CoordinatorProcess {
 public:
  // Reads the model's headers and checks all flags; opens no port. On failure
  // `*exit_code` says what the process should end with.
  static absl::StatusOr<std::unique_ptr<CoordinatorProcess>> Open(
      const GroupFlags& flags, ExitCode* exit_code);

  // Opens both ports and begins to wait for workers; what follows needs it.
  absl::Status Listen(ExitCode* exit_code);

  int port() const { return server_->port(); }
  int internal_port() const { return group_->port(); }
  const Layout& layout() const { return layout_; }

  // As of WorkerGroup.
  absl::Status WaitUntilDone() { return group_->WaitUntilDone(); }

  // Takes nothing new, lets what runs finish for `grace`, ends the workers.
  void Stop(absl::Duration grace);

 private:
  CoordinatorProcess(const GroupFlags& flags, OpenedModel opened)
      : flags_(flags), opened_(std::move(opened)) {}
  absl::Status StartServers();

  const GroupFlags flags_;
  OpenedModel opened_;
  Layout layout_;
  ServedModel served_;
  std::unique_ptr<StepLoop> loop_;
  std::unique_ptr<WorkerGroup> group_;
  std::unique_ptr<PublicServer> server_;
};

}  // namespace quatrain
