#include <algorithm>
#include <deque>
#include <numeric>

#include "kernels/emu/checks.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/threads.h"

namespace simt::emu {
namespace {

// Spinning threads asked in vain, without anything moving anywhere, before it
// is called a deadlock.
constexpr uint64_t kVainPolls = 1'000'000;

enum class Outcome { kFinished, kParked, kFailed };

// One launch: which blocks are resident, and which of them runs.
class BlockLoop {
 public:
  explicit BlockLoop(const LaunchSpec& spec)
      : machine_(TheMachine()), spec_(spec) {
    order_.resize(size_t{spec.grid.x} * spec.grid.y * spec.grid.z);
    std::iota(order_.begin(), order_.end(), 0);
    if (machine_.schedule.order == Order::kReverse)
      std::reverse(order_.begin(), order_.end());
    if (machine_.schedule.order == Order::kRandom)
      for (size_t i = order_.size(); i > 1; --i)
        std::swap(order_[i - 1],
                  order_[machine_.random.Below(static_cast<uint32_t>(i))]);
  }

  void Run() {
    while (!machine_.failed && (next_ < order_.size() || !parked_.empty())) {
      Cta& cta = Choose();
      const Outcome outcome = RunBlock(cta);
      if (outcome == Outcome::kParked) parked_.push_back(&cta);
      if (outcome == Outcome::kFinished) free_.push_back(&cta);
    }
    machine_.counters.blocks += next_;
    if (!machine_.failed) return;
    for (const auto& slot : machine_.slots) slot->Abandon();
  }

 private:
  // A new block while there is room: whoever is parked waits longest.
  Cta& Choose() {
    const bool room = static_cast<int>(parked_.size()) < machine_.max_resident;
    const bool random = machine_.schedule.order == Order::kRandom;
    if (next_ < order_.size() && room &&
        (parked_.empty() || !random || machine_.random.OneIn(2)))
      return StartBlock(order_[next_++]);
    if (random)
      std::swap(parked_.front(), parked_[machine_.random.Below(
                                     static_cast<uint32_t>(parked_.size()))]);
    Cta& cta = *parked_.front();
    parked_.pop_front();
    return cta;
  }

  Cta& StartBlock(uint32_t index) {
    if (free_.empty()) free_.push_back(&NewSlot());
    Cta& cta = *free_.back();
    free_.pop_back();
    const dim3& grid = spec_.grid;
    const uint3 block = {index % grid.x, index / grid.x % grid.y,
                         index / grid.x / grid.y};
    cta.Start({{}, block, spec_.block, grid}, index, spec_.dynamic_shared_bytes,
              ++machine_.run);
    ++machine_.progress;
    return cta;
  }

  Cta& NewSlot() {
    const size_t in_use = num_slots_++;
    if (in_use == machine_.slots.size())
      machine_.slots.push_back(std::make_unique<Cta>(static_cast<int>(in_use)));
    return *machine_.slots[in_use];
  }

  // Until all its threads have ended, or only spinners are left that have been
  // asked once more since the last of the others gave way.
  Outcome RunBlock(Cta& cta) {
    uint64_t asked_at = ~uint64_t{0};
    for (;;) {
      if (Lane* lane = PickLane(cta, 0)) EnterBlock(cta, *lane);
      if (machine_.failed) return Outcome::kFailed;
      if (cta.finished()) {
        FlushLog(cta);
        CheckAsyncDone(cta);
        return machine_.failed ? Outcome::kFailed : Outcome::kFinished;
      }
      if (cta.leave) return Outcome::kParked;
      if (cta.ready_warps != 0) continue;
      if (!cta.anyone_spins()) return Deadlock(cta);
      const bool moved = machine_.progress != asked_at;
      asked_at = machine_.progress;
      WakeSpinners(cta);
      if (!moved) return InVain(cta);
    }
  }

  Outcome InVain(Cta& cta) {
    if (machine_.progress != last_progress_) vain_polls_ = 0;
    last_progress_ = machine_.progress;
    vain_polls_ += cta.num_threads;
    if (vain_polls_ < kVainPolls) return Outcome::kParked;
    RecordLaunchError(Fault::kBlockDeadlock,
                      "all resident blocks spin and nothing moves; block " +
                          std::to_string(cta.index) + ": " +
                          DescribeWaiting(cta));
    return Outcome::kFailed;
  }

  Outcome Deadlock(Cta& cta) {
    RecordLaunchError(Fault::kDeadlock,
                      "block " + std::to_string(cta.index) +
                          " cannot go on: " + DescribeWaiting(cta));
    return Outcome::kFailed;
  }

  static void WakeSpinners(Cta& cta) {
    for (int w = 0; w < cta.num_warps; ++w) {
      cta.SetReady(w, cta.warps[w].spinning);
      cta.warps[w].spinning = 0;
    }
  }

  Machine& machine_;
  const LaunchSpec& spec_;
  std::vector<uint32_t> order_;
  size_t next_ = 0;
  size_t num_slots_ = 0;
  std::vector<Cta*> free_;
  std::deque<Cta*> parked_;
  uint64_t last_progress_ = 0;
  uint64_t vain_polls_ = 0;
};

}  // namespace

Machine& TheMachine() {
  static Machine& machine = *new Machine;
  return machine;
}

void RunLaunch(const LaunchSpec& spec) {
  Machine& machine = TheMachine();
  machine.launch = &spec;
  machine.failed = false;
  machine.random.Seed(machine.schedule.seed + machine.launch_number);
  ++machine.launch_number;
  ++machine.counters.launches;
  machine.host.AdoptCurrentStack();
  BeginLaunchChecks();
  BlockLoop(spec).Run();
  EndLaunchChecks();
  SetCurrentLane(nullptr);
  machine.tolerated.clear();
  machine.launch = nullptr;
}

namespace {

std::string DescribeLane(Cta& cta, int thread) {
  Warp& warp = cta.warps[thread / kWarpLanes];
  const Lane& lane = warp.at(thread % kWarpLanes);
  if (warp.exited & lane.bit()) return "have ended";
  const std::string place = std::string(" at ") + lane.where.file + ":" +
                            std::to_string(lane.where.line);
  if (warp.at_barrier & lane.bit())
    return "wait at barrier " +
           std::to_string(static_cast<BarrierCall*>(lane.arguments)->id) +
           place;
  if (warp.waiting & lane.bit())
    return std::string("wait for their warp in ") + OpName(lane.kind) + place;
  return "spin" + place;
}

}  // namespace

std::string DescribeWaiting(Cta& cta) {
  std::string text;
  std::string before;
  int first = 0;
  const auto flush = [&](int end) {
    if (end == first || before.empty()) return;
    text += text.empty() ? "" : "; ";
    text += "threads " + std::to_string(first) + "-" + std::to_string(end - 1) +
            " " + before;
  };
  for (int t = 0; t <= cta.num_threads; ++t) {
    std::string now;
    if (t < cta.num_threads) now = DescribeLane(cta, t);
    if (t > 0 && t < cta.num_threads && now == before) continue;
    flush(t);
    first = t;
    before = now;
  }
  return text;
}

}  // namespace simt::emu
