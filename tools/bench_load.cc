#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "tools/command.h"
#include "tools/local_flags.h"
#include "tools/memory_read.h"
#include "worker/process_memory.h"
#include "worker/rank.h"

// Times how one rank's weights are packed, from a file that the page cache
// holds, beside a plain read of the same mapping, and watches the memory.
namespace quatrain {
namespace {

struct Flags {
  std::string model;
  LocalFlags local;
  int rank = 0;
  int num_iters = 3;
};

// The most anonymous memory of the process while it lives.
class PeakWatch {
 public:
  PeakWatch() : thread_([this] { Watch(); }) {}
  int64_t Stop() {
    stop_.store(true);
    thread_.join();
    return std::max(peak_, AnonymousBytes());
  }

 private:
  void Watch() {
    while (!stop_.load()) {
      peak_ = std::max(peak_, AnonymousBytes());
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  std::atomic<bool> stop_{false};
  int64_t peak_ = 0;
  std::thread thread_;
};

struct Result {
  int64_t file_bytes = 0;    // of the rank's slices
  int64_t packed_bytes = 0;  // what they became
  int64_t peak_bytes = 0;
  double load_seconds = 0;
  double read_bytes_per_s = 0;
  double copy_bytes_per_s = 0;  // to memory that was never touched
};

// All tensors, from the page cache through the mapping, as packing sees them:
// pages are mapped again each time.
double ReadTensorsSeconds(const Model& model, ThreadPool& pool) {
  const double start = SteadySeconds();
  std::atomic<uint64_t> total{0};
  for (const Tensor& tensor : model.checkpoint.tensors()) {
    const std::span<const std::byte> bytes = tensor.bytes();
    pool.ParallelFor(static_cast<int64_t>(bytes.size() / 64),
                     [&](int64_t begin, int64_t end, int) {
                       uint64_t sum = 0;
                       for (int64_t line = begin; line < end; ++line)
                         for (int i = 0; i < 64; i += 8) {
                           uint64_t word;
                           std::memcpy(&word, bytes.data() + line * 64 + i,
                                       sizeof(word));
                           sum += word;
                         }
                       total += sum;
                     });
    tensor.DropPages();
  }
  const volatile uint64_t needed = total.load();
  (void)needed;
  return SteadySeconds() - start;
}

// The same, copied to fresh memory: what the best packing still has to do.
absl::StatusOr<double> CopyTensorsSeconds(const Model& model,
                                          ThreadPool& pool) {
  DeviceMemory memory(0);
  std::vector<DeviceBuffer> copies;
  const double start = SteadySeconds();
  for (const Tensor& tensor : model.checkpoint.tensors()) {
    const std::span<const std::byte> bytes = tensor.bytes();
    ASSIGN_OR_RETURN(DeviceBuffer copy, memory.Allocate(bytes.size(), "copy"));
    pool.ParallelFor(static_cast<int64_t>(bytes.size()), [&](int64_t begin,
                                                             int64_t end, int) {
      std::memcpy(copy.data() + begin, bytes.data() + begin, end - begin);
    });
    tensor.DropPages();
    copies.push_back(std::move(copy));
  }
  return SteadySeconds() - start;
}

int64_t TensorBytes(const Model& model) {
  int64_t bytes = 0;
  for (const Tensor& tensor : model.checkpoint.tensors())
    bytes += static_cast<int64_t>(tensor.bytes().size());
  return bytes;
}

absl::StatusOr<Result> Measure(const Flags& flags, const Model& model) {
  ASSIGN_OR_RETURN(EngineSettings settings,
                   MakeLocalSettings(flags.local, model.config.num_layers));
  settings.max_model_len = std::min(model.config.max_model_len, 2048);
  settings.max_num_seqs = 1;
  const int num_ranks = settings.layout.num_ranks();
  if (flags.rank >= num_ranks)
    return absl::InvalidArgumentError(absl::StrCat(
        "--rank: ", flags.rank, ", the layout has ", num_ranks, " ranks"));
  ThreadPool pool(settings.num_threads(), /*spin=*/true);
  Result result;
  ReadTensorsSeconds(model, pool);  // into the page cache
  for (int i = 0; i < flags.num_iters; ++i) {
    result.read_bytes_per_s =
        std::max(result.read_bytes_per_s,
                 TensorBytes(model) / ReadTensorsSeconds(model, pool));
    ASSIGN_OR_RETURN(const double copy, CopyTensorsSeconds(model, pool));
    result.copy_bytes_per_s =
        std::max(result.copy_bytes_per_s, TensorBytes(model) / copy);
    ASSIGN_OR_RETURN(
        const std::unique_ptr<Rank> rank,
        Rank::Plan(model, settings,
                   {.rank = flags.rank,
                    .device = absl::StrCat("local/", flags.rank)}));
    PeakWatch watch;
    const double start = SteadySeconds();
    const absl::Status loaded = rank->Load({});
    const double seconds = SteadySeconds() - start;
    result.peak_bytes = std::max(result.peak_bytes, watch.Stop());
    RETURN_IF_ERROR(loaded);
    result.file_bytes = rank->stored_bytes();
    result.packed_bytes = rank->weights_bytes();
    if (i == 0 || seconds < result.load_seconds) result.load_seconds = seconds;
  }
  return result;
}

void Print(const Result& r) {
  const double speed = r.file_bytes / r.load_seconds;
  std::printf(
      "| in the file, MB | packed, MB | seconds | GB/s | plain read, GB/s | of "
      "the read | copy to fresh memory, GB/s | of the copy | peak anonymous, "
      "MB | over packed |\n"
      "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
      "| %.0f | %.0f | %.3f | %.2f | %.2f | %.0f %% | %.2f | %.0f %% | %.0f | "
      "%.1f %% |\n",
      r.file_bytes * 1e-6, r.packed_bytes * 1e-6, r.load_seconds, speed * 1e-9,
      r.read_bytes_per_s * 1e-9, 100 * speed / r.read_bytes_per_s,
      r.copy_bytes_per_s * 1e-9, 100 * speed / r.copy_bytes_per_s,
      r.peak_bytes * 1e-6,
      100.0 * (r.peak_bytes - r.packed_bytes) / r.packed_bytes);
}

int Run(const Flags& flags) {
  if (!StartLogging("warn", "bench").ok()) return kExitFailure;
  ReturnFreedMemory();
  const absl::StatusOr<Model> model = OpenModel(flags.model);
  if (!model.ok()) return Fail(kExitModelUnreadable, model.status());
  const absl::StatusOr<Result> result = Measure(flags, *model);
  if (!result.ok()) return Fail(ExitCodeOf(result.status()), result.status());
  Print(*result);
  return kExitOk;
}

}  // namespace

RunCommand AddBenchLoad(CLI::App& app) {
  auto f = std::make_shared<Flags>();
  app.add_option("MODEL", f->model, "model folder")->required();
  app.add_option("--rank", f->rank, "of the layout; default 0")
      ->check(CLI::Range(0, 1 << 16));
  app.add_option("--num-iters", f->num_iters, "runs, of which the best counts")
      ->check(CLI::Range(1, 1000));
  AddLocalFlags(app, {"exact", "int8"}, &f->local);
  return [f] { return Run(*f); };
}

}  // namespace quatrain
