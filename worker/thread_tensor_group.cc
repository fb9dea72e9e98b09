#include "worker/thread_tensor_group.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "worker/spin_until.h"

namespace quatrain {
namespace {

using Clock = std::chrono::steady_clock;

// Slices begin at cache lines of 64-bit numbers, so that ranks do not share
// one.
size_t SliceBegin(size_t n, int size, int rank) {
  const size_t lines = (n + 7) / 8;
  return std::min(n, lines * rank / size * 8);
}

}  // namespace

ThreadGroupState::ThreadGroupState(int size) : size_(size), seats_(size) {}

bool ThreadGroupState::Arrive(int rank, Clock::time_point deadline, bool spin) {
  const uint64_t target = (seats_[rank].arrivals.fetch_add(1) + 1) * size_;
  if (arrived_.fetch_add(1) + 1 == target && num_blocked_.load() > 0) {
    // A waiter counts itself before it looks at arrived_, so either it sees the
    // arrival or we see it; the lock keeps us from signalling in between.
    MutexLock lock(&mutex_);
    changed_.SignalAll();
  }
  if (spin) SpinUntil([&] { return Done(target); });
  if (!Done(target)) {
    num_blocked_.fetch_add(1);
    MutexLock lock(&mutex_);
    while (!Done(target) && Clock::now() < deadline) {
      changed_.WaitFor(&mutex_, deadline - Clock::now());
    }
    num_blocked_.fetch_sub(1);
  }
  return arrived_.load() >= target;
}

void ThreadGroupState::Break(int rank) {
  int nobody = -1;
  broken_by_.compare_exchange_strong(nobody, rank);
  MutexLock lock(&mutex_);
  changed_.SignalAll();
}

int ThreadGroupState::MissingFor(int rank) const {
  const uint64_t mine = seats_[rank].arrivals.load();
  for (int r = 0; r < size_; ++r) {
    if (seats_[r].arrivals.load() < mine) return r;
  }
  return -1;
}

bool ThreadGroupState::Enter() {
  // Whoever breaks the group sets the flag and then waits for inside_ to be 0;
  // here it is the other way round, so one of the two sees the other.
  inside_.fetch_add(1);
  if (broken_by() < 0) return true;
  inside_.fetch_sub(1);
  return false;
}

void ThreadGroupState::AwaitNobodyInside() const {
  // Those inside only compute; they are soon done.
  while (inside_.load() > 0) std::this_thread::yield();
}

ThreadTensorGroup::ThreadTensorGroup(std::shared_ptr<ThreadGroupState> state,
                                     std::shared_ptr<GroupFault> fault,
                                     const ThreadTensorGroupOptions& options)
    : state_(std::move(state)),
      fault_(std::move(fault)),
      options_(options),
      hook_(fault_,
            [state = state_, rank = options.rank] { state->Break(rank); }) {}

ThreadTensorGroup::~ThreadTensorGroup() { state_->Break(options_.rank); }

bool ThreadTensorGroup::Arrive() {
  return state_->Arrive(options_.rank, Clock::now() + options_.timeout,
                        options_.spin);
}

void ThreadTensorGroup::RaiseFault() {
  if (const int by = state_->broken_by(); by >= 0) {
    const int peer = options_.first_rank + by;
    fault_->Raise(absl::UnavailableError(absl::StrCat("tensor group: rank ",
                                                      peer, " has left it")),
                  peer);
  } else {
    const int peer =
        options_.first_rank + std::max(0, state_->MissingFor(options_.rank));
    fault_->Raise(absl::DeadlineExceededError(absl::StrCat(
                      "tensor group: rank ", peer, " did not come within ",
                      options_.timeout.count(), " ms")),
                  peer);
  }
}

template <typename Body>
void ThreadTensorGroup::Together(void* memory, Body body) {
  if (fault_->raised()) return;
  state_->memory(options_.rank) = memory;
  // First barrier: every rank's memory is there. Second: nobody needs mine.
  bool ok = Arrive() && state_->Enter();
  if (ok) {
    body();
    state_->Leave();
    ok = Arrive();
  }
  if (ok) return;
  RaiseFault();
  state_->AwaitNobodyInside();
}

template <typename T>
void ThreadTensorGroup::SumMySlice(size_t n) {
  using Unsigned = std::make_unsigned_t<T>;  // wraps around, by definition
  constexpr size_t kBlock = 512;
  Unsigned sum[kBlock];
  const size_t end = SliceBegin(n, size(), rank() + 1);
  for (size_t i = SliceBegin(n, size(), rank()); i < end; i += kBlock) {
    const size_t count = std::min(kBlock, end - i);
    std::fill_n(sum, count, 0);
    for (int r = 0; r < size(); ++r) {
      const auto* part = static_cast<const Unsigned*>(state_->memory(r)) + i;
      for (size_t k = 0; k < count; ++k) sum[k] += part[k];
    }
    for (int r = 0; r < size(); ++r) {
      std::memcpy(static_cast<T*>(state_->memory(r)) + i, sum,
                  count * sizeof(T));
    }
  }
}

void ThreadTensorGroup::AllReduceSum(std::span<int64_t> inout) {
  Together(inout.data(), [&] { SumMySlice<int64_t>(inout.size()); });
}

void ThreadTensorGroup::AllReduceSum(std::span<int32_t> inout) {
  Together(inout.data(), [&] { SumMySlice<int32_t>(inout.size()); });
}

void ThreadTensorGroup::AllGather(std::span<const std::byte> mine,
                                  std::span<const size_t> sizes,
                                  std::span<std::byte> all) {
  CHECK_EQ(sizes.size(), static_cast<size_t>(size()));
  CHECK_EQ(mine.size(), sizes[rank()]);
  Together(const_cast<std::byte*>(mine.data()), [&] {
    size_t offset = 0;
    for (int r = 0; r < size(); offset += sizes[r++]) {
      CHECK_LE(offset + sizes[r], all.size());
      if (sizes[r] == 0) continue;
      std::memcpy(all.data() + offset, state_->memory(r), sizes[r]);
    }
  });
}

}  // namespace quatrain
