#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "kernels/cpu/isa.h"
#include "tools/child_process.h"
#include "tools/command.h"
#include "tools/coordinator_process.h"
#include "tools/stop_signals.h"
#include "worker/max_memory.h"

namespace quatrain {
namespace {

struct Options {
  GroupFlags group;
  std::string max_memory;
  int ranks_per_process = 0;  // 0 = all in one
};

std::vector<std::string> WorkerArguments(const Options& options,
                                         int internal_port, int index,
                                         int num_ranks) {
  std::vector<std::string> arguments = {
      "worker",
      "--coordinator",
      absl::StrCat("127.0.0.1:", internal_port),
      "--name",
      absl::StrCat("local-", index),
      "--model",
      options.group.model,
      "--ranks",
      absl::StrCat(num_ranks),
      "--log-level",
      options.group.log_level};
  arguments.push_back("--child");
  if (!options.max_memory.empty()) {
    arguments.push_back("--max-memory");
    arguments.push_back(options.max_memory);
  }
  return arguments;
}

// How many ranks each worker process hosts.
std::vector<int> RanksOfWorkers(const Options& options, int num_ranks) {
  const int per_process =
      options.ranks_per_process > 0 ? options.ranks_per_process : num_ranks;
  std::vector<int> ranks;
  for (int first = 0; first < num_ranks; first += per_process)
    ranks.push_back(std::min(per_process, num_ranks - first));
  return ranks;
}

// What the workers would refuse, since they run on this machine: better said
// before there are ports and processes.
absl::Status CheckWorkerFlags(const Options& options,
                              const std::vector<int>& ranks) {
  if (options.group.backend == "cpu")
    RETURN_IF_ERROR(ChooseIsa(options.group.isa).status());
  for (const int num_ranks : ranks) {
    ASSIGN_OR_RETURN(const std::vector<DeviceLimit> devices,
                     ParseMaxMemory(options.max_memory, num_ranks));
    if (static_cast<int>(devices.size()) == num_ranks) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--max-memory: '", options.max_memory, "' leaves ",
                     devices.size(), " devices to a worker process, expected ",
                     num_ranks, ": the layout needs all of them"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ChildProcess>> StartWorkers(
    const Options& options, int internal_port, const std::vector<int>& ranks) {
  std::vector<ChildProcess> workers;
  for (const int num_ranks : ranks) {
    const int index = static_cast<int>(workers.size());
    auto worker = ChildProcess::StartSelf(
        WorkerArguments(options, internal_port, index, num_ranks),
        ChildProcess::Output::kInherit);
    if (!worker.ok()) return worker.status();
    workers.push_back(*std::move(worker));
  }
  return workers;
}

// The exit code of a worker that ended on its own, else -1.
int AnyEnded(std::vector<ChildProcess>& workers) {
  for (ChildProcess& worker : workers) {
    if (worker.Poll() >= 0) return worker.Poll();
  }
  return -1;
}

// Waits for the group's end, or for a worker that ended before it was part of
// the group: that one has said why.
int Supervise(CoordinatorProcess& process, std::vector<ChildProcess>& workers,
              absl::Duration grace) {
  std::atomic<bool> done = false;
  absl::Status status;
  std::jthread waiter([&] {
    status = process.WaitUntilDone();
    done = true;
  });
  while (!done) {
    const int ended = AnyEnded(workers);
    // A worker of the group that ends makes the group end within a second,
    // with the better message.
    const absl::Time patience = absl::Now() + absl::Seconds(2);
    while (ended >= 0 && !done && absl::Now() < patience)
      absl::SleepFor(absl::Milliseconds(10));
    if (ended >= 0 && !done) {
      process.Stop(absl::ZeroDuration());
      waiter.join();
      return ended == 0 ? kExitFailure : ended;
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  waiter.join();
  for (ChildProcess& worker : workers) worker.Stop(grace);
  if (!status.ok()) return Fail(ExitCodeOf(status), status);
  return kExitOk;
}

int Run(const Options& options) {
  const StopSignals signals;
  if (const absl::Status status =
          StartLogging(options.group.log_level, "serve");
      !status.ok()) {
    return Fail(kExitUsage, status);
  }
  ExitCode exit_code = kExitFailure;
  const auto process = CoordinatorProcess::Open(options.group, &exit_code);
  if (!process.ok()) return Fail(exit_code, process.status());
  const std::vector<int> ranks =
      RanksOfWorkers(options, (*process)->layout().num_ranks());
  if (const absl::Status status = CheckWorkerFlags(options, ranks);
      !status.ok())
    return Fail(kExitUsage, status);
  if (const absl::Status status = (*process)->Listen(&exit_code); !status.ok())
    return Fail(exit_code, status);
  auto workers = StartWorkers(options, (*process)->internal_port(), ranks);
  if (!workers.ok()) return Fail(kExitFailure, workers.status());
  const std::jthread listener = signals.OnStop(
      [&] { (*process)->Stop(absl::Seconds(options.group.drain_timeout_s)); });
  return Supervise(**process, *workers, absl::Seconds(5));
}

}  // namespace

RunCommand AddServe(CLI::App& app) {
  auto options = std::make_shared<Options>();
  AddGroupFlags(app, &options->group);
  app.add_option("--max-memory", options->max_memory,
                 "budget of each worker process: cpu=8GiB; default: half of "
                 "what is free for all of them");
  app.add_option("--ranks-per-process", options->ranks_per_process,
                 "0: one worker process hosts all ranks")
      ->check(CLI::Range(0, 1 << 20));
  return [options] { return Run(*options); };
}

}  // namespace quatrain
