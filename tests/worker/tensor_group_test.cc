#include "kernels/tensor_group.h"

#include <atomic>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/child_process.h"
#include "tests/support/for_each_rank.h"
#include "worker/solo_tensor_group.h"

namespace quatrain {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

CommunicatorOptions Options(Transport transport) {
  CommunicatorOptions options = SmallCommunicators(transport);
  options.max_tokens = 4096;  // messages up to 256 KiB in one piece
  return options;
}

void WithGroups(Transport transport, int size,
                const std::function<void(TensorGroup&)>& body) {
  WithCommunicators(LayoutOf({size}, transport), Options(transport),
                    [&](int rank, Communicators& made) {
                      EXPECT_EQ(made.tensor_group->rank(), rank);
                      EXPECT_EQ(made.tensor_group->size(), size);
                      body(*made.tensor_group);
                      EXPECT_EQ(made.status(), absl::OkStatus());
                      // Nobody leaves while another still waits for what it
                      // sent.
                      int64_t last = 1;
                      made.tensor_group->AllReduceSum(std::span(&last, 1));
                    });
}

// A number that every rank can compute for every other.
uint64_t Value(int rank, size_t i) {
  return (i + 1) * 0x9e3779b97f4a7c15u + rank * 0x2545f4914f6cdd1du;
}

template <typename T>
void ExpectSum(TensorGroup& group, size_t n) {
  std::vector<T> values(n), expected(n);
  for (size_t i = 0; i < n; ++i) {
    uint64_t sum = 0;
    for (int r = 0; r < group.size(); ++r) sum += Value(r, i);
    values[i] = static_cast<T>(Value(group.rank(), i));
    expected[i] = static_cast<T>(sum);  // modulo 2^64 and 2^32
  }
  group.AllReduceSum(std::span<T>(values));
  EXPECT_TRUE(values == expected) << n << " numbers, rank " << group.rank();
}

void ExpectGathered(TensorGroup& group, const std::vector<size_t>& sizes) {
  const auto byte = [](int r, size_t i) {
    return static_cast<std::byte>(Value(r, i) >> 40);
  };
  std::vector<std::byte> mine(sizes[group.rank()]), expected;
  for (size_t i = 0; i < mine.size(); ++i) mine[i] = byte(group.rank(), i);
  for (int r = 0; r < group.size(); ++r) {
    for (size_t i = 0; i < sizes[r]; ++i) expected.push_back(byte(r, i));
  }
  std::vector<std::byte> all(expected.size());
  group.AllGather(mine, sizes, all);
  EXPECT_TRUE(all == expected) << "rank " << group.rank();
}

class TensorGroupTest
    : public testing::TestWithParam<std::tuple<Transport, int>> {
 protected:
  Transport transport() const { return std::get<0>(GetParam()); }
  int size() const { return std::get<1>(GetParam()); }
};

TEST_P(TensorGroupTest, SumsIntegersModuloTheirWidth) {
  WithGroups(transport(), size(), [](TensorGroup& group) {
    // None, fewer than ranks, a decode step's, one beyond a piece and beyond
    // the change of algorithm, and several pieces.
    for (const size_t n : {0, 1, 7, 512, 8192, 8193, 32769, 200'003}) {
      ExpectSum<int64_t>(group, n);
      ExpectSum<int32_t>(group, n);
    }
  });
}

TEST_P(TensorGroupTest, GathersUnequalAndEmptyParts) {
  WithGroups(transport(), size(), [](TensorGroup& group) {
    const int n = group.size();
    ExpectGathered(group, std::vector<size_t>(n, 0));
    ExpectGathered(group, std::vector<size_t>(n, 100));
    std::vector<size_t> sizes(n);
    for (int r = 0; r < n; ++r) sizes[r] = r * 1000;  // none on rank 0
    ExpectGathered(group, sizes);
    sizes.assign(n, 0);
    sizes[n - 1] = 700'000;  // one rank alone, in pieces
    ExpectGathered(group, sizes);
    sizes.assign(n, 3);
    sizes[0] = 300'001;
    ExpectGathered(group, sizes);
  });
}

TEST_P(TensorGroupTest, ManyCallsInARowDoNotMix) {
  WithGroups(transport(), size(), [](TensorGroup& group) {
    std::mt19937 random(7);  // the same calls on all ranks
    for (int call = 0; call < 150; ++call) {
      if (random() % 4 > 0) {
        ExpectSum<int64_t>(group, random() % 600);
      } else {
        std::vector<size_t> sizes(group.size());
        for (size_t& s : sizes) s = random() % 3 == 0 ? 0 : random() % 2000;
        ExpectGathered(group, sizes);
      }
    }
  });
}

std::string CaseName(
    const testing::TestParamInfo<std::tuple<Transport, int>>& info) {
  return absl::StrCat(NameOf(std::get<0>(info.param)), std::get<1>(info.param));
}
// Up to eight threads, which are more than some machines have cores.
INSTANTIATE_TEST_SUITE_P(Threads, TensorGroupTest,
                         testing::Combine(testing::Values(Transport::kThreads),
                                          testing::Values(1, 2, 3, 4, 5, 8)),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(
    Processes, TensorGroupTest,
    testing::Combine(testing::Values(Transport::kSharedMemory,
                                     Transport::kGloo),
                     testing::Values(2, 3, 4, 5)),
    CaseName);

TEST(SoloTensorGroupTest, LeavesWhatItIsGiven) {
  SoloTensorGroup group;
  ExpectSum<int64_t>(group, 5);
  ExpectGathered(group, {7});
  ExpectGathered(group, {0});
}

TEST(ThreadTensorGroupTest, SpinningRanksOutnumberCores) {
  const int size = 4 * static_cast<int>(std::thread::hardware_concurrency());
  const Clock::time_point start = Clock::now();
  ForEachRank(size, [](TensorGroup& group) {
    for (int call = 0; call < 50; ++call) ExpectSum<int64_t>(group, 64);
    EXPECT_EQ(group.status(), absl::OkStatus());
  });
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
}

class TensorGroupFaultTest : public testing::TestWithParam<Transport> {};

TEST_P(TensorGroupFaultTest, MissingRankIsNamedAtTheDeadline) {
  CommunicatorOptions options = Options(GetParam());
  options.step_timeout = milliseconds(400);
  std::atomic<int> waiting{2};
  WithCommunicators(
      LayoutOf({3}, GetParam()), options, [&](int rank, Communicators& made) {
        std::vector<int64_t> values(10);
        const Clock::time_point start = Clock::now();
        if (rank == 1) {  // never comes, but stays
          while (waiting > 0) std::this_thread::sleep_for(milliseconds(1));
          return;
        }
        made.tensor_group->AllReduceSum(std::span(values));
        EXPECT_LT(Clock::now() - start, milliseconds(1400));
        // The rank that comes last may only see the other one leave.
        if (absl::IsDeadlineExceeded(made.status())) {
          EXPECT_GE(Clock::now() - start, milliseconds(390));
          EXPECT_THAT(std::string(made.status().message()),
                      testing::HasSubstr("rank 1"));
        } else {
          EXPECT_TRUE(absl::IsUnavailable(made.status())) << made.status();
        }
        --waiting;
      });
}

TEST_P(TensorGroupFaultTest, AbortEndsAWait) {
  WithCommunicators(
      LayoutOf({2}, GetParam()), Options(GetParam()),
      [&](int rank, Communicators& made) {
        if (rank == 1) {
          std::this_thread::sleep_for(milliseconds(300));
          return;
        }
        std::jthread aborter([&made] {
          std::this_thread::sleep_for(milliseconds(100));
          made.Abort(absl::CancelledError("the epoch is over"));
        });
        const Clock::time_point start = Clock::now();
        std::vector<int64_t> values(10);
        made.tensor_group->AllReduceSum(std::span(values));
        EXPECT_LT(Clock::now() - start, milliseconds(1000));
        EXPECT_EQ(made.status(), absl::CancelledError("the epoch is over"));

        made.tensor_group->AllReduceSum(std::span(values));  // at once
        EXPECT_EQ(made.status(), absl::CancelledError("the epoch is over"));
      });
}

TEST_P(TensorGroupFaultTest, RankThatLeavesIsNoticed) {
  WithCommunicators(LayoutOf({2}, GetParam()), Options(GetParam()),
                    [](int rank, Communicators& made) {
                      if (rank == 1) return;
                      std::vector<int64_t> values(10);
                      const Clock::time_point start = Clock::now();
                      made.tensor_group->AllReduceSum(std::span(values));
                      EXPECT_LT(Clock::now() - start, milliseconds(1000));
                      EXPECT_TRUE(absl::IsUnavailable(made.status()))
                          << made.status();
                      EXPECT_THAT(std::string(made.status().message()),
                                  testing::HasSubstr("rank 1"));
                    });
}

INSTANTIATE_TEST_SUITE_P(Transports, TensorGroupFaultTest, kAllTransports,
                         [](const auto& info) { return NameOf(info.param); });

// A group whose ranks are processes; rank 0 is the test itself.
class ProcessGroupTest : public testing::TestWithParam<Transport> {
 protected:
  // Forms rank `rank` of `size` and runs body; 0 if the body says true.
  int RunRank(int rank, int size, const CommunicatorOptions& options,
              const std::function<bool(Communicators&)>& body) {
    ProcessHub hub;
    auto made = FormCommunicators(LayoutOf({size}), rank, &hub, &store_,
                                  "processes", options);
    if (!made.ok()) {
      std::fprintf(stderr, "rank %d: %s\n", rank,
                   made.status().ToString().c_str());
      return 2;
    }
    return body(*made) ? 0 : 1;
  }

  static bool SumForEver(Communicators& made) {
    std::vector<int64_t> values(1000, 1);
    while (made.status().ok()) {
      made.tensor_group->AllReduceSum(std::span(values));
    }
    return true;
  }

  FileKeyValueStore store_;
};

TEST_P(ProcessGroupTest, ThreeProcessesSum) {
  const auto sum = [](Communicators& made) {
    std::vector<int64_t> values(5000, made.tensor_group->rank() + 1);
    for (int call = 0; call < 20; ++call) {
      made.tensor_group->AllReduceSum(std::span(values));
    }
    int64_t expected = 6;
    for (int call = 1; call < 20; ++call) expected *= 3;
    return values == std::vector<int64_t>(5000, expected);
  };
  ChildProcess one([&] { return RunRank(1, 3, Options(GetParam()), sum); });
  ChildProcess two([&] { return RunRank(2, 3, Options(GetParam()), sum); });
  EXPECT_EQ(RunRank(0, 3, Options(GetParam()), sum), 0);
  EXPECT_EQ(one.Wait(), 0);
  EXPECT_EQ(two.Wait(), 0);
}

TEST_P(ProcessGroupTest, KilledRankIsNoticedWithinASecond) {
  ChildProcess one(
      [&] { return RunRank(1, 3, Options(GetParam()), SumForEver); });
  ChildProcess two(
      [&] { return RunRank(2, 3, Options(GetParam()), SumForEver); });
  Clock::time_point killed;
  RunRank(0, 3, Options(GetParam()), [&](Communicators& made) {
    std::jthread killer([&] {
      std::this_thread::sleep_for(milliseconds(200));
      killed = Clock::now();
      two.Signal(SIGKILL);
    });
    SumForEver(made);
    killer.join();
    EXPECT_LT(Clock::now() - killed, milliseconds(1000));
    EXPECT_TRUE(absl::IsUnavailable(made.status())) << made.status();
    return true;
  });
  EXPECT_EQ(one.Wait(), 0);  // noticed too
  EXPECT_LT(Clock::now() - killed, milliseconds(1500));
}

TEST_P(ProcessGroupTest, StoppedRankIsNoticedAtTheDeadline) {
  CommunicatorOptions options = Options(GetParam());
  options.step_timeout = milliseconds(600);
  ChildProcess one([&] { return RunRank(1, 2, options, SumForEver); });
  RunRank(0, 2, options, [&](Communicators& made) {
    std::jthread stopper([&] {
      std::this_thread::sleep_for(milliseconds(200));
      one.Signal(SIGSTOP);
    });
    const Clock::time_point start = Clock::now();
    SumForEver(made);
    EXPECT_GE(Clock::now() - start, milliseconds(700));
    EXPECT_LT(Clock::now() - start, milliseconds(2000));
    EXPECT_TRUE(absl::IsDeadlineExceeded(made.status())) << made.status();
    EXPECT_THAT(std::string(made.status().message()),
                testing::HasSubstr("rank 1"));
    return true;
  });
}

INSTANTIATE_TEST_SUITE_P(Transports, ProcessGroupTest,
                         testing::Values(Transport::kSharedMemory,
                                         Transport::kGloo),
                         [](const auto& info) { return NameOf(info.param); });

}  // namespace
}  // namespace quatrain
