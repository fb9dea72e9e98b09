#include "tests/kernels/cuda/bench/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "tests/kernels/cuda/bench/report.h"

namespace quatrain::bench {
namespace {

constexpr int kMinCopies = 3;
constexpr double kColdL2s = 3;    // so many times the L2 passes before a reuse
constexpr int kMinLaunches = 50;  // of a graph, where the time allows it
constexpr int kMaxLaunches = 200;
constexpr double kGraphSeconds = 4e-3;
constexpr int kMinReplays = 5, kMaxReplays = 60;
constexpr double kFullSlice = 0.15, kQuickSlice = 0.04;  // seconds of one row
constexpr double kHurriedSlice = 0.01;

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Launches, recorded once and replayed.
class Graph {
 public:
  Graph(const Launch& launch, int launches, QuatrainStream stream)
      : stream_(stream) {
    CudaOk(Cuda().capture_begin(stream), "capture_begin");
    for (int i = 0; i < launches; ++i) launch(i);
    CudaOk(Cuda().capture_end(stream, &graph_), "capture_end");
  }
  Graph(const Graph&) = delete;
  ~Graph() { CudaOk(Cuda().graph_destroy(graph_), "graph_destroy"); }

  void Replay() const {
    CudaOk(Cuda().graph_launch(graph_, stream_), "graph_launch");
  }

 private:
  QuatrainStream stream_;
  QuatrainGraph graph_ = nullptr;
};

// Marks on a stream, and the seconds between them.
class Clock {
 public:
  Clock(int marks, QuatrainStream stream) : events_(marks), stream_(stream) {
    for (QuatrainEvent& event : events_)
      CudaOk(Cuda().event_create(&event), "event_create");
  }
  Clock(const Clock&) = delete;
  ~Clock() {
    for (QuatrainEvent event : events_)
      CudaOk(Cuda().event_destroy(event), "event_destroy");
  }

  void Mark(int i) {
    CudaOk(Cuda().event_record(events_[i], stream_), "event_record");
  }
  double Between(int i, int j) {
    CudaOk(Cuda().event_synchronize(events_[j]), "event_synchronize");
    float ms = 0;
    CudaOk(Cuda().event_elapsed_ms(events_[i], events_[j], &ms),
           "event_elapsed_ms");
    return ms * 1e-3;
  }

 private:
  std::vector<QuatrainEvent> events_;
  QuatrainStream stream_;
};

double Quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

}  // namespace

Bench::Bench(const Options& options, const QuatrainDeviceInfo& device,
             QuatrainStream stream, const Ceilings& ceilings)
    : options_(options),
      device_(device),
      stream_(stream),
      ceilings_(ceilings),
      begin_(Now()) {}

int Bench::NumCopies(double bytes) const {
  if (options_.smoke) return kMinCopies;
  const double cold = kColdL2s * static_cast<double>(device_.l2_bytes);
  return std::max(kMinCopies, static_cast<int>(std::ceil(cold / bytes)));
}

std::vector<int> Bench::Pick(std::vector<int> full, std::vector<int> quick,
                             std::vector<int> smoke) const {
  return options_.smoke ? smoke : options_.quick ? quick : full;
}

Times Bench::Measure(const Launch& launch, int copies) {
  if (options_.smoke) {
    for (int i = 0; i < copies; ++i) launch(i);
    Synchronize();
    const Graph graph(launch, copies, stream_);
    graph.Replay();
    Synchronize();
    return {};
  }
  for (int i = 0; i < 2; ++i) launch(i);  // loads code, fills caches of tables
  Synchronize();
  constexpr int kTrial = 3;
  Clock trial(2, stream_);
  trial.Mark(0);
  for (int i = 0; i < kTrial; ++i) launch(i);
  trial.Mark(1);
  const double once = std::max(trial.Between(0, 1) / kTrial, 1e-7);

  const bool hurry = Seconds() > options_.seconds;
  const double slice = hurry            ? kHurriedSlice
                       : options_.quick ? kQuickSlice
                                        : kFullSlice;
  int launches = std::clamp(static_cast<int>(kGraphSeconds / once),
                            kMinLaunches, kMaxLaunches);
  if (launches * once * (kMinReplays + 1) > slice)
    launches = std::max(kMinCopies,
                        static_cast<int>(slice / once) / (kMinReplays + 1));
  // A replay begins where the last one ended: with a copy that is cold.
  if (launches > copies) launches -= launches % copies;
  const int replays = std::clamp(static_cast<int>(slice / (launches * once)),
                                 hurry ? 3 : kMinReplays, kMaxReplays);

  const Graph graph(launch, launches, stream_);
  Clock clock(replays + 1, stream_);
  graph.Replay();
  // All enqueued at once, so that the host is not in the measured time.
  for (int r = 0; r < replays; ++r) {
    clock.Mark(r);
    graph.Replay();
  }
  clock.Mark(replays);
  std::vector<double> us;
  for (int r = 0; r < replays; ++r)
    us.push_back(clock.Between(r, r + 1) / launches * 1e6);
  Synchronize();
  std::sort(us.begin(), us.end());
  return {Quantile(us, 0.5), Quantile(us, 0.1), Quantile(us, 0.9),
          launches,          replays,           hurry};
}

void Bench::Add(Row row) {
  rows_.push_back(std::move(row));
  PrintRow(*this, rows_.back());
}

double Bench::Floor(const Work& work) const {
  double seconds = work.bytes / ceilings_.bandwidth();
  if (work.operations > 0)
    seconds = std::max(seconds, work.operations / ceilings_.rate(work.unit));
  return seconds * 1e6;
}

double Bench::SpecFloor(const Work& work) const {
  if (ceilings_.spec_bandwidth == 0) return 0;
  Ceilings spec = ceilings_;
  spec.f16 = 0;
  double seconds = work.bytes / spec.spec_bandwidth;
  if (work.operations > 0)
    seconds = std::max(seconds, work.operations / spec.rate(work.unit));
  return seconds * 1e6;
}

void Bench::Wrong(const std::string& what) {
  ++num_wrong_;
  std::printf("WRONG: %s\n", what.c_str());
  std::fflush(stdout);
}

void Bench::Synchronize() const {
  CudaOk(Cuda().stream_synchronize(stream_), "stream_synchronize");
}

double Bench::Seconds() const { return Now() - begin_; }

}  // namespace quatrain::bench
