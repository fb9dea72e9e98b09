#include <unistd.h>

#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/host_name.h"
#include "base/logging.h"
#include "tools/command.h"
#include "tools/stop_signals.h"
#include "worker/worker_process.h"

namespace quatrain {
namespace {

struct Flags {
  WorkerOptions worker;
  std::string log_level = "info";
  bool no_shared_memory = false;
  bool child = false;  // of `serve`, which says itself how the group ended
};

int Run(Flags flags) {
  const StopSignals signals;
  if (flags.worker.name.empty())
    flags.worker.name = absl::StrCat(HostName(), "-", getpid());
  if (const absl::Status status =
          StartLogging(flags.log_level, flags.worker.name);
      !status.ok()) {
    return Fail(kExitUsage, status);
  }
  flags.worker.share_memory = !flags.no_shared_memory;
  std::stop_source stop;
  const std::jthread listener = signals.OnStop([&] { stop.request_stop(); });
  const WorkerOutcome outcome = RunWorker(flags.worker, stop.get_token());
  if (outcome.code == kWorkerStopped) return kExitOk;
  if (flags.child && outcome.attached) return outcome.code;
  return Fail(static_cast<ExitCode>(outcome.code), outcome.status);
}

}  // namespace

RunCommand AddWorker(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  WorkerOptions* o = &flags->worker;
  app.add_option("--coordinator", o->coordinator,
                 "HOST:PORT of its internal port")
      ->required();
  app.add_option("--model", o->model_folder, "model folder")->required();
  app.add_option("--name", o->name,
                 "unique in the group, whose ranks are ordered by it; default: "
                 "host and process");
  app.add_option("--ranks", o->num_ranks, "that this process hosts")
      ->check(CLI::Range(1, 64));
  app.add_option("--max-memory", o->max_memory,
                 "cpu=8GiB for the process, or 0=4GiB,1=2GiB by rank, where "
                 "others are left out; default: half of what is free, shared "
                 "by the ranks of the host");
  app.add_option("--backend", o->backend, "instead of the coordinator's choice")
      ->check(CLI::IsMember({"cpu", "reference"}));
  app.add_option("--isa", o->isa, "instead of the coordinator's choice");
  app.add_option("--threads", o->threads, "of each rank; 0: as told")
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--data-host", o->data_host,
                 "address for data between ranks; default: the local end of "
                 "the connection to the coordinator");
  // Not as "!--no-...": from the environment that means the opposite.
  app.add_flag("--no-shared-memory", flags->no_shared_memory,
               "send data to other processes of this host through sockets too");
  app.add_flag("--child", flags->child, "started by serve")->group("");
  app.add_option("--log-level", flags->log_level,
                 "trace, debug, info, warn, error");
  return [flags] { return Run(*flags); };
}

}  // namespace quatrain
