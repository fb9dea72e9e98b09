#include <memory>
#include <thread>

#include "base/logging.h"
#include "tools/command.h"
#include "tools/coordinator_process.h"
#include "tools/stop_signals.h"

namespace quatrain {
namespace {

int Run(const GroupFlags& flags) {
  const StopSignals signals;
  if (const absl::Status status = StartLogging(flags.log_level, "coordinator");
      !status.ok()) {
    return Fail(kExitUsage, status);
  }
  ExitCode exit_code = kExitFailure;
  const auto process = CoordinatorProcess::Open(flags, &exit_code);
  if (!process.ok()) return Fail(exit_code, process.status());
  if (const absl::Status status = (*process)->Listen(&exit_code); !status.ok())
    return Fail(exit_code, status);
  const std::jthread listener = signals.OnStop(
      [&] { (*process)->Stop(absl::Seconds(flags.drain_timeout_s)); });
  const absl::Status status = (*process)->WaitUntilDone();
  if (!status.ok()) return Fail(ExitCodeOf(status), status);
  return kExitOk;
}

}  // namespace

RunCommand AddCoordinator(CLI::App& app) {
  auto flags = std::make_shared<GroupFlags>();
  AddGroupFlags(app, flags.get());
  return [flags] { return Run(*flags); };
}

}  // namespace quatrain
