#pragma once

#include <barrier>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/tensor_group.h"

namespace quatrain {

// A tensor group of threads of this test: everybody publishes, waits, reads.
class TestGroup : public TensorGroup {
 public:
  // Calls body(group) on `size` threads, each with its own seat.
  static void RunRanks(int size, const std::function<void(TestGroup&)>& body) {
    Shared shared(size);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank)
      threads.emplace_back([&, rank] {
        TestGroup group(rank, shared);
        body(group);
      });
    for (std::thread& thread : threads) thread.join();
  }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(shared_.parts.size()); }
  void AllReduceSum(std::span<int64_t> inout) override { Sum<uint64_t>(inout); }
  void AllReduceSum(std::span<int32_t> inout) override { Sum<uint32_t>(inout); }
  void AllGather(std::span<const std::byte> mine, std::span<const size_t> sizes,
                 std::span<std::byte> all) override {
    shared_.parts[rank_] = mine.data();
    shared_.barrier.arrive_and_wait();
    size_t offset = 0;
    for (size_t r = 0; r < sizes.size(); offset += sizes[r++])
      if (sizes[r] > 0)
        std::memcpy(all.data() + offset, shared_.parts[r], sizes[r]);
    ++gathers_;
    shared_.barrier.arrive_and_wait();
  }
  absl::Status status() const override { return absl::OkStatus(); }
  int gathers() const { return gathers_; }  // calls of AllGather so far

 private:
  struct Shared {
    explicit Shared(int size) : parts(size), barrier(size) {}
    std::vector<const void*> parts;
    std::barrier<> barrier;
  };
  TestGroup(int rank, Shared& shared) : rank_(rank), shared_(shared) {}

  template <typename U, typename T>
  void Sum(std::span<T> inout) {
    shared_.parts[rank_] = inout.data();
    shared_.barrier.arrive_and_wait();
    std::vector<T> sum(inout.size());
    for (const void* part : shared_.parts)
      for (size_t i = 0; i < sum.size(); ++i)
        sum[i] = static_cast<T>(static_cast<U>(sum[i]) +
                                static_cast<U>(static_cast<const T*>(part)[i]));
    shared_.barrier.arrive_and_wait();
    std::copy(sum.begin(), sum.end(), inout.begin());
  }

  const int rank_;
  Shared& shared_;
  int gathers_ = 0;
};

}  // namespace quatrain
