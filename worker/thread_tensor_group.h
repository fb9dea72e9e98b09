#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "kernels/tensor_group.h"
#include "worker/group_fault.h"

namespace quatrain {

// What the ranks of a tensor group share when they are threads of one process:
// a barrier, and for each rank the memory it takes part with. Thread-safe.
class ThreadGroupState {
 public:
  explicit ThreadGroupState(int size);

  int size() const { return size_; }

  // The barrier. True once all ranks have arrived as often as `rank` has. False
  // when the group breaks first or the deadline passes.
  bool Arrive(int rank, std::chrono::steady_clock::time_point deadline,
              bool spin);

  // The ranks never meet again; all waits end. `rank` is who found out first.
  void Break(int rank);
  int broken_by() const { return broken_by_.load(); }  // -1 = not broken
  // A rank that has arrived less often than `rank`, -1 if there is none.
  int MissingFor(int rank) const;

  // Between two barriers a rank reads and writes the memory of others. Enter()
  // is false, and must be left alone, on a broken group. A rank that leaves a
  // broken group waits with AwaitNobodyInside() before its memory goes.
  bool Enter();
  void Leave() { inside_.fetch_sub(1); }
  void AwaitNobodyInside() const;

  // Written by `rank` before it arrives, read by others after.
  void*& memory(int rank) { return seats_[rank].memory; }

 private:
  struct alignas(64) Seat {
    void* memory = nullptr;
    std::atomic<uint64_t> arrivals{0};
  };

  bool Done(uint64_t target) const {
    return arrived_.load() >= target || broken_by() >= 0;
  }

  const int size_;
  std::vector<Seat> seats_;
  // Arrivals of all ranks so far. Nobody arrives again before all have, so a
  // rank's n-th barrier is complete when this reaches n * size.
  alignas(64) std::atomic<uint64_t> arrived_{0};
  alignas(64) std::atomic<int> inside_{0};
  std::atomic<int> broken_by_{-1};

  std::atomic<int> num_blocked_{0};
  Mutex mutex_;
  CondVar changed_;
};

struct ThreadTensorGroupOptions {
  int rank = 0;        // in the group
  int first_rank = 0;  // of the group, for messages
  std::chrono::milliseconds timeout{10'000};
  bool spin = true;  // some microseconds before blocking
};

// One rank of a group whose ranks are threads of one process. Every rank sums a
// slice of the vector over all ranks' memory and writes it to all of them.
class ThreadTensorGroup final : public TensorGroup {
 public:
  // `state` belongs to all ranks together: none knows who leaves last.
  ThreadTensorGroup(std::shared_ptr<ThreadGroupState> state,
                    std::shared_ptr<GroupFault> fault,
                    const ThreadTensorGroupOptions& options);
  ~ThreadTensorGroup() override;

  int rank() const override { return options_.rank; }
  int size() const override { return state_->size(); }
  void AllReduceSum(std::span<int64_t> inout) override;
  void AllReduceSum(std::span<int32_t> inout) override;
  void AllGather(std::span<const std::byte> mine, std::span<const size_t> sizes,
                 std::span<std::byte> all) override;
  absl::Status status() const override { return fault_->status(); }

 private:
  // Runs `body` while all ranks lend their `memory`.
  template <typename Body>
  void Together(void* memory, Body body);
  bool Arrive();
  void RaiseFault();
  template <typename T>
  void SumMySlice(size_t n);

  const std::shared_ptr<ThreadGroupState> state_;
  const std::shared_ptr<GroupFault> fault_;
  const ThreadTensorGroupOptions options_;
  const FaultHook hook_;  // breaks the group
};

}  // namespace quatrain
