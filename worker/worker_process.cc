#include "worker/worker_process.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/host_name.h"
#include "base/num_cores.h"
#include "base/version.h"
#include "model/model.h"
#include "spdlog/spdlog.h"
#include "worker/coordinator_session.h"
#include "worker/max_memory.h"
#include "worker/process_memory.h"
#include "worker/rank_factory.h"

namespace quatrain {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr uint32_t kProtocolRevision = 1;

// What a rank's backend will be like, by this worker's flags: what the
// coordinator chooses is not known before it plans.
std::string DescribeBackend(const WorkerOptions& options, int num_ranks) {
  EngineSettings settings;
  if (!options.backend.empty()) settings.backend = options.backend;
  settings.isa = options.isa;
  settings.threads = options.threads;
  settings.ranks_on_host = num_ranks;
  settings.max_num_seqs = 1;
  settings.max_num_batched_tokens = 1;
  settings.max_model_len = 1;
  const auto backend = MakeBackend(settings, {}, /*limit_bytes=*/0);
  if (!backend.ok()) return std::string(backend.status().message());
  return (*backend)->Description();
}

void AddDevices(const WorkerOptions& options,
                const std::vector<DeviceLimit>& devices,
                internal::v1::Hello* hello) {
  const int num_ranks = static_cast<int>(devices.size());
  const MemoryBudget budget = BudgetOf(devices, AvailableBytes(), num_ranks);
  const std::string description = DescribeBackend(options, num_ranks);
  for (int i = 0; i < num_ranks; ++i) {
    internal::v1::Device* device = hello->add_devices();
    device->set_kind("cpu");
    device->set_description(description);
    device->set_limit_bytes(budget.limits[i]);
    device->set_cores(NumCores());
    spdlog::info("device {}/{}: {}, of {} cores", options.name,
                 devices[i].ordinal, description, device->cores());
  }
}

internal::v1::Hello MakeHello(const WorkerOptions& options, const Model& model,
                              const std::vector<DeviceLimit>& devices) {
  internal::v1::Hello hello;
  hello.set_worker_name(options.name);
  std::random_device random;
  hello.set_incarnation(uint64_t{random()} << 32 | random());
  hello.set_build_id(kBuildId);
  hello.set_protocol_revision(kProtocolRevision);
  hello.set_model_digest(DigestText(model.digest));
  hello.set_host(HostName());
  hello.set_pid(getpid());
  AddDevices(options, devices, &hello);
  return hello;
}

// The worker's exit for a status that ended it.
WorkerOutcome Ended(WorkerExit code, absl::Status status) {
  return {.code = code, .status = std::move(status)};
}

// Waits before the next try: twice as long each time up to two seconds, less a
// random part, so that workers do not dial in step.
class Backoff {
 public:
  void Wait(const std::stop_token& stop) {
    const double part = std::uniform_real_distribution(0.5, 1.0)(random_);
    const auto until =
        Clock::now() +
        std::chrono::duration_cast<Clock::duration>(delay_ * part);
    delay_ = std::min(delay_ * 2, std::chrono::duration<double>(2.0));
    while (!stop.stop_requested() && Clock::now() < until)
      std::this_thread::sleep_for(milliseconds(20));
  }

 private:
  std::mt19937 random_{std::random_device{}()};
  std::chrono::duration<double> delay_{0.1};
};

WorkerOutcome Dial(const WorkerOptions& options, const Model& model,
                   const std::vector<DeviceLimit>& devices,
                   const std::stop_token& stop) {
  spdlog::info("version {}, revision {}, build {}", kVersion, kGitRevision,
               kBuildId);
  const internal::v1::Hello hello = MakeHello(options, model, devices);
  Backoff backoff;
  bool first = true;
  while (!stop.stop_requested()) {
    CoordinatorSession session(options, model, devices, hello);
    if (std::optional<WorkerOutcome> outcome = session.Run(stop))
      return *std::move(outcome);
    if (std::exchange(first, false))
      spdlog::info("waiting for coordinator {}", options.coordinator);
    backoff.Wait(stop);
  }
  return Ended(kWorkerStopped, absl::OkStatus());
}

absl::Status CheckOptions(const WorkerOptions& options) {
  if (options.name.empty())
    return absl::InvalidArgumentError("--name is empty, expected a name");
  if (options.coordinator.find(':') == std::string::npos)
    return absl::InvalidArgumentError(absl::StrCat(
        "--coordinator is '", options.coordinator, "', expected HOST:PORT"));
  if (options.num_ranks < 1)
    return absl::InvalidArgumentError(absl::StrCat(
        "--ranks is ", options.num_ranks, ", expected at least 1"));
  return absl::OkStatus();
}

}  // namespace

WorkerOutcome RunWorker(const WorkerOptions& options, std::stop_token stop) {
  ReturnFreedMemory();
  if (absl::Status status = CheckOptions(options); !status.ok())
    return Ended(kWorkerRefused, std::move(status));
  absl::StatusOr<std::vector<DeviceLimit>> devices =
      ParseMaxMemory(options.max_memory, options.num_ranks);
  if (!devices.ok()) return Ended(kWorkerRefused, devices.status());
  absl::StatusOr<Model> model = OpenModel(options.model_folder);
  if (!model.ok()) return Ended(kWorkerModelUnreadable, model.status());
  return Dial(options, *model, *devices, stop);
}

}  // namespace quatrain
